//! Another topology over the same state: what may change, what is said, and what is refused.

use std::fs;

use highwater::log::{Isolation, Log as _};

use crate::application::*;
use crate::record::stores;

fn names(dir: &std::path::Path) -> Vec<String> {
    stores(dir).into_keys().collect()
}

/// A stream that is gone leaves its stores; nobody but a person deletes them.
#[test]
fn stores_that_nobody_reads_are_told_and_kept() {
    let dir = unpacked("stopped");
    let before = stores(dir.path());
    let (without, _) = TOPOLOGY.split_once("  visits:").expect("a stream");
    let log = run_through(without, dir.path());
    says(&log, &["visits/old.cdc.public.visits-0", "they are kept, and nobody reads them"]);
    assert!(!log.contains("stores=\"customers"), "{log}");
    assert_eq!(stores(dir.path())["visits/old.cdc.public.visits-0"], before["visits/old.cdc.public.visits-0"]);
    // It comes back, and knows what it knew.
    again_and_more(&open_log(dir.path()));
    let log = run_through(TOPOLOGY, dir.path());
    assert!(!log.contains("nobody reads them"), "{log}");
    check_outputs(dir.path(), "with the stream back");
    assert_eq!(names(dir.path()), before.into_keys().collect::<Vec<_>>());
}

#[test]
fn a_renamed_stream_is_refused_until_somebody_decides() {
    let dir = unpacked("stopped");
    let renamed = TOPOLOGY.replace("  customers:", "  clients:");
    again_and_more(&open_log(dir.path()));
    let written = read(&open_log(dir.path()), OUT, Isolation::Uncommitted).len();
    for _ in 0..2 {
        let log = run_to_failure(&renamed, dir.path());
        says(
            &log,
            &["was processed by stream `customers`", CHANGELOG, "stream `clients` has none", "name `customers` back"],
        );
        assert_eq!(read(&open_log(dir.path()), OUT, Isolation::Uncommitted).len(), written, "nothing left");
    }
    // The first way out.
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "under the old name");
    // The other one: what was sent is forgotten, by somebody's decision, and that is said.
    run_to_failure(&renamed, dir.path());
    open_log(dir.path()).admin().delete(CHANGELOG).expect("deleted");
    let log = run_through(&renamed, dir.path());
    says(&log, &["its changelog holds no positions"]);
}

#[test]
fn the_steps_of_a_stream_may_change() {
    let dir = unpacked("stopped");
    let changed = TOPOLOGY.replace("email: hash, full_name: truncate", "email: drop, full_name: redact");
    assert_ne!(changed, TOPOLOGY);
    again_and_more(&open_log(dir.path()));
    let before = read(&open_log(dir.path()), OUT, Isolation::Committed).len();
    run_through(&changed, dir.path());
    let log = open_log(dir.path());
    let rows = read(&log, OUT, Isolation::Committed);
    assert_eq!(rows.len(), before + 60, "the sixty new changes, and none of the old again");
    for row in &rows[rows.len() - 1..] {
        assert!(!String::from_utf8_lossy(row.value.as_deref().expect("a row")).contains("email"));
    }
}

/// A stream that reads another topic begins with it, and what the old one left is told.
#[test]
fn another_source_begins_with_stores_of_its_own() {
    let dir = unpacked("stopped");
    {
        let log = open_log(dir.path());
        log.admin().create("new.cdc.public.visits", 1, &[]).expect("a topic");
        append(
            &log,
            &[change("new.cdc.public.visits", &serde_json::json!({ "id": 1, "country": "LV" }), Some(1), 7, 0)],
        );
    }
    let other = TOPOLOGY.replace("from: old.cdc.public.visits", "from: new.cdc.public.visits");
    let log = run_through(&other, dir.path());
    says(&log, &["visits/old.cdc.public.visits-0", "nobody reads them"]);
    assert!(names(dir.path()).contains(&"visits/new.cdc.public.visits-0".to_string()));
    assert!(fs::exists(dir.join("state/stores")).expect("an answer"));
    let last = read(&open_log(dir.path()), VISITS_OUT, Isolation::Committed).pop().expect("a row");
    assert!(String::from_utf8(last.value.expect("a row")).expect("text").contains("\"cdc_lsn\":7"));
}
