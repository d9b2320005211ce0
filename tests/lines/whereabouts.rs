//! Where the log is: a topology, a flag; and that an embedded one belongs to one process.

use std::fs;
use std::io::{Read as _, Write};

use crate::command::Running;
use crate::place::{Place, numbered};
use crate::support::{Broker, DEADLINE, Dir, wait_until};

const TOPOLOGY: &str = "application: app\nkafka: { bootstrap.servers: '${BROKERS:-BOOTSTRAP}' }\n\
    secrets: { pii: '${UNSET}' }\nhttp: 127.0.0.1:0\nstreams:\n  rows:\n    from: rows.in\n    to: rows.out\n    \
    steps: [dedup, { mask: none }]\n";

#[test]
fn a_topology_says_where_the_log_is() {
    let log = Place::kafka("by.topology");
    log.create("by.topology", 1, &[]);
    let dir = log.dir.path();
    let topology = TOPOLOGY.replace("BOOTSTRAP", &Broker::shared().bootstrap());
    fs::write(dir.join("topology.yaml"), &topology).expect("a file");
    let run = |args: &[&str], input: &str| Running::start(args, dir).finish(input.as_bytes());
    run(&["produce", "by.topology"], "k\tv\n").ended(0);
    assert_eq!(run(&["consume", "by.topology", "-f", "topology.yaml"], "").ended(0).silent().stdout, "k\tv\n");
    // Its embedded log lies with its state, or where it says.
    run(&["produce", "by.topology", "--embedded"], "in\tstate\n").ended(0).says(&["made topic"]);
    assert!(dir.join("state/log").is_dir());
    let elsewhere = format!("{topology}embedded: elsewhere\n").replace("kafka: {", "state: kept\n#kafka: {");
    fs::write(dir.join("elsewhere.yaml"), elsewhere).expect("a file");
    run(&["produce", "by.topology", "-f", "elsewhere.yaml"], "else\twhere\n").ended(0);
    run(&["produce", "by.topology", "-f", "elsewhere.yaml", "--embedded=third"], "third\tplace\n").ended(0);
    for (args, want) in [
        (&["--embedded"][..], "in\tstate\n"),
        (&["--embedded=state/log"], "in\tstate\n"),
        (&["-f", "elsewhere.yaml"], "else\twhere\n"),
        (&["-f", "elsewhere.yaml", "--embedded"], "else\twhere\n"),
        (&["--embedded=elsewhere"], "else\twhere\n"),
        (&["--embedded=third"], "third\tplace\n"),
    ] {
        let args = [&["consume", "by.topology"], args].concat();
        assert_eq!(run(&args, "").ended(0).silent().stdout, want, "{args:?}");
    }
    assert!(!dir.join("kept").exists());
    run(&["consume", "by.topology", "--embedded=nowhere"], "").ended(1).says(&["no embedded log in nowhere"]);
    assert!(!dir.join("nowhere").exists());
    run(&["consume", "by.topology", "-f", "no.yaml"], "").ended(78).says(&["no.yaml: 1 error"]);
    run(&["consume", "by.topology", "-f", "no.yaml", "--embedded"], "").ended(78).says(&["no.yaml: 1 error"]);
    fs::remove_file(dir.join("topology.yaml")).expect("a file");
    run(&["consume", "by.topology"], "").ended(78).says(&["--bootstrap", "--embedded=PATH"]);
    assert_eq!(run(&["consume", "by.topology", "--embedded"], "").ended(0).silent().stdout, "in\tstate\n");
    for wrong in [&["--bootstrap", "a:1", "--embedded"][..], &["--bootstrap", "a:1", "-f", "x"], &["-X", "a=b"]] {
        let said = run(&[&["consume", "by.topology"], wrong].concat(), "").ended(2);
        assert_eq!(said.stdout, "");
    }
}

#[test]
fn an_embedded_log_belongs_to_one_process() {
    let log = Place::embedded("alone");
    log.create("alone", 1, &[]);
    log.write(&numbered("alone", 0, 0..1));
    let mut first = log.command("consume", &["--follow"]);
    assert_eq!(first.line(), "k0\tv0\n");
    for said in [log.consume(&[]), log.produce(&[], "k\tv\n")] {
        said.ended(1).says(&["is in use by", &format!("pid {}", first.child.id()), &log.path().display().to_string()]);
    }
    first.signal("INT");
    first.finish(&[]).ended(0).silent();
    log.produce(&[], "k1\tv1\n").ended(0);
    assert_eq!(log.lines(&[]), ["k0\tv0", "k1\tv1"]);
}

#[test]
fn a_topology_runs_on_the_embedded_log_between_produce_and_consume() {
    let dir = Dir::new("lines");
    let topology = TOPOLOGY.replace("secrets: { pii: '${UNSET}' }\n", "").replace(":-BOOTSTRAP", "");
    fs::write(dir.join("topology.yaml"), topology).expect("a file");
    let run = |args: &[&str], input: &str| Running::start(args, dir.path()).finish(input.as_bytes());
    let change = |id: u32, lsn: u32| {
        format!(
            "{{\"id\":{id}}}\t{{\"op\":\"c\",\"before\":null,\"after\":{{\"id\":{id}}},\"source\":{{\"name\":\"t\",\
             \"db\":\"d\",\"table\":\"rows\",\"snapshot\":\"false\",\"lsn\":{lsn},\"sequence\":\"[\\\"1\\\",\\\"{lsn}\\\"]\",\
             \"ts_us\":{lsn}}}}}\n"
        )
    };
    // In another state directory than the topology's, and in a place of its own.
    for (state, log) in [(&["--state", "moved"][..], "moved/log"), (&["--embedded=own"], "own"), (&[], "state/log")] {
        let at = format!("--embedded={log}");
        let input: String = [(1, 10), (2, 11), (1, 10), (1, 12)].map(|(id, lsn)| change(id, lsn)).concat();
        run(&["produce", "rows.in", &at, "--partitions", "1"], &input).ended(0).says(&["4 records written"]);
        let embedded = if log == "own" { &[][..] } else { &["--embedded"] };
        let args = [&["run"], state, embedded].concat();
        let running = Running::start(&args, dir.path());
        wait_until(DEADLINE, "a running topology", || running.stderr().contains("running").then_some(()));
        let told = run(&["consume", "rows.out", &at], "").ended(1);
        told.says(&["is in use by", &format!("pid {}", running.child.id())]);
        // It commits what it has processed before it goes; how far that is shows afterwards.
        let port = wait_until(DEADLINE, "an address", || {
            let log = running.stderr();
            let (_, rest) = log.split_once("127.0.0.1:")?;
            Some(rest.chars().take_while(char::is_ascii_digit).collect::<String>())
        });
        wait_until(DEADLINE, "three rows", || {
            let page = metrics(&port)?;
            page.lines().any(|line| line == "highwater_records_out_total{stream=\"rows\"} 3").then_some(())
        });
        running.signal("TERM");
        running.finish(&[]).ended(0);
        let rows = run(&["consume", "rows.out", &at], "").ended(0).silent().stdout;
        let rows: Vec<&str> = rows.lines().collect();
        assert_eq!(rows.len(), 3, "{rows:?}");
        assert!(rows[0].starts_with("{\"id\":1}\t{\"id\":1,\"cdc_lsn\":10"), "{rows:?}");
        fs::remove_dir_all(dir.join("state")).ok();
    }
}

fn metrics(port: &str) -> Option<String> {
    let mut stream = std::net::TcpStream::connect(format!("127.0.0.1:{port}")).ok()?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}
