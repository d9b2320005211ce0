//! A personal column that comes while everything runs, under `unlisted: reject`.

use highwater::cli::leaks::{Kind, Search, Searcher, Values};
use serde_json::Value;

use crate::stage::{LETTERS, SALT, Stage, soon};
use crate::support::database::TABLES;
use crate::support::oracle::hashed;
use crate::support::{DEADLINE, Isolation, http, wait_until};
use crate::truth::select;

const CANARIES: [&str; 3] = ["CANARY-AA1234567", "CANARY-BB7654321", "CANARY-CC5551234"];

const UNLISTED: &str = "          unlisted: passthrough      # passthrough | drop | reject
          fields:
";
const REJECT: &str = "          unlisted: reject
          fields:
            id: passthrough
            country: passthrough
            created_at: passthrough
            updated_at: passthrough
";

fn rejecting(text: &str) -> String {
    assert!(text.contains(UNLISTED), "{text}");
    text.replace(UNLISTED, REJECT)
}

pub fn comes_while_it_runs(stage: &mut Stage) {
    stage.stop();
    stage.topology(&|text| rejecting(&soon(text)));
    stage.run();
    stage.settle();
    let letters = |stage: &Stage| -> Vec<Value> {
        let values = stage.broker.read_all(LETTERS, Isolation::Committed).into_iter().filter_map(|read| read.value);
        values.map(|value| serde_json::from_slice(&value).expect("a letter")).collect()
    };
    assert_eq!(letters(stage).len(), 0, "every column that there is has a rule");

    let known = stage.postgres.sql("select min(id) from customers");
    let before = row(stage, &known);
    stage.postgres.sql("alter table customers add column passport text");
    stage.postgres.sql(&format!(
        "insert into customers (email, passport) values ('new@example.com', '{}');
         update customers set passport = '{}' where id = {known}",
        CANARIES[0], CANARIES[1]
    ));
    stage.wait("two dead letters", |stage| letters(stage).len() >= 2);
    // Others go on.
    stage.settle();
    let told = letters(stage);
    assert!(told.len() == 2 && told.iter().all(|letter| letter["reason"] == "unlisted_column"), "{told:?}");
    assert_eq!(row(stage, &known), before, "the row that was not let through");

    // Somebody decides about it. The sink waits until the table can take it, and says so.
    stage.stop();
    let rule = "            email: hash\n";
    stage
        .topology(&|text| text.replace(UNLISTED, REJECT).replace(rule, &format!("{rule}            passport: hash\n")));
    stage.run();
    stage.postgres.sql(&format!("update customers set passport = '{}' where id = {known}", CANARIES[2]));
    wait_until(DEADLINE, "the sink to wait for the column", || {
        let (status, why) = http::get(stage.http, "/readyz")?;
        (status == 503 && why.contains("passport")).then_some(())
    });
    assert_eq!(row(stage, &known), before);
    search(stage);
    stage.clickhouse.query("alter table brew.customers add column passport Nullable(String)");
    wait_until(DEADLINE, "the row with its new column", || {
        let sql = format!("select passport from brew.customers final where id = {known}");
        (select(&stage.clickhouse, &sql) == [serde_json::json!([hashed(SALT, CANARIES[2])])]).then_some(())
    });
    stage.settle();
    assert_eq!(letters(stage).len(), 2);
    search(stage);
    stage.stop();
    search(stage);
}

fn row(stage: &Stage, id: &str) -> Vec<Value> {
    select(&stage.clickhouse, &format!("select id, email, cdc_lsn from brew.customers final where id = {id}"))
}

/// Everywhere but in the source topics, in every form.
fn search(stage: &Stage) {
    let searcher = Searcher::new(&Values::of(&CANARIES).expect("values")).expect("a searcher");
    let mut search = Search::new(&searcher);
    let (sources, others): (Vec<String>, Vec<String>) =
        stage.broker.topics().into_keys().partition(|topic| topic.starts_with("brew.cdc."));
    others.iter().for_each(|topic| stage.broker.search(&mut search, Kind::Topic, topic));
    for path in ["/", "/metrics", "/healthz", "/readyz"] {
        if let Some((_, page)) = http::get(stage.http, path) {
            search.text(Kind::Page, path, page.as_bytes());
        }
    }
    for table in TABLES {
        // As text: parts on the disk are compressed.
        let rows = select(&stage.clickhouse, &format!("select * from brew.{table}"));
        search.text(Kind::Page, table, Value::from(rows).to_string().as_bytes());
    }
    // Logs and stores. A store that runs is not whole on the disk, and its log is; that of a stopped one is read through.
    let running = stage.highwater.is_some();
    let left_out = |path: &std::path::Path| (running && path.ends_with("state")).then(|| "it is open".to_owned());
    search.files(stage.dir.path(), &left_out).expect("files");
    let logs = ["clickhouse.log", "script.log"].map(|name| stage.clickhouse.path().join(name));
    logs.iter().filter(|log| log.exists()).for_each(|log| search.files(log, &|_| None).expect("a log"));
    assert!(search.hits.is_empty(), "{:#?}", search.hits.values().collect::<Vec<_>>());
    assert!(search.bytes() > 100_000 && search.places.len() > 20, "{} bytes", search.bytes());
    // And it would have been found.
    let mut planted = Search::new(&searcher);
    sources.iter().for_each(|topic| stage.broker.search(&mut planted, Kind::Topic, topic));
    assert_eq!(planted.found().len(), CANARIES.len(), "the canaries came");
}
