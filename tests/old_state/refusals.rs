//! What is not this application's state, in a form that this version knows, is refused: exit code 1, what is there, what
//! was expected, the way out; and nothing of it is changed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use highwater::log::{Isolation, Log as _, TopicPartition};
use highwater::store::layout;
use sha2::{Digest as _, Sha256};

use crate::application::*;
use crate::record::{hex, stores, stores_text};
use crate::support::{Dir, Highwater, Line};

/// Every file below, with its mode and the digest of its bytes; but not those of the lock, which says who looked last, and of
/// RocksDB's diary.
pub fn tree(root: &Path) -> Vec<String> {
    fn visit(path: &Path, found: &mut Vec<String>) {
        let data = fs::symlink_metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut line = format!("{} {:o}", path.display(), data.permissions().mode());
        if data.is_file() && !path.ends_with("lock") && !path.ends_with("LOG") {
            line += &format!(" {}", hex(&Sha256::digest(fs::read(path).expect("a file"))));
        }
        found.push(line);
        if data.is_dir() {
            for entry in fs::read_dir(path).expect("a directory") {
                visit(&entry.expect("an entry").path(), found);
            }
        }
    }
    let mut found = Vec::new();
    visit(root, &mut found);
    found.sort();
    found
}

/// Runs it, and it must refuse to: with these words, and with everything left as it was.
#[track_caller]
fn refused(topology: &str, dir: &Path, texts: &[&str]) -> String {
    let places = ["state", "log", "home"].map(|name| dir.join(name));
    let all = || places.iter().filter(|p| p.exists()).flat_map(|p| tree(p)).collect::<Vec<_>>();
    let before = all();
    let log = run_to_failure(topology, dir);
    says(&log, texts);
    assert_eq!(log.lines().filter(|line| line.contains("ERROR")).count(), 1, "one thing is said:\n{log}");
    let after = all();
    let changed: Vec<_> = after.iter().filter(|line| !before.contains(line)).collect();
    assert!(before == after, "changed: {changed:#?}");
    log
}

#[test]
fn state_of_another_application_is_refused() {
    let dir = unpacked("stopped");
    let other = TOPOLOGY.replace("application: old-state", "application: squatter");
    refused(&other, dir.path(), &["state holds the state of application `old-state`, this is `squatter`", "--state"]);
    // It was left alone.
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "after the squatter");
}

#[test]
fn state_of_a_later_version_is_refused() {
    let dir = unpacked("stopped");
    let mark = dir.join("state/format");
    assert_eq!(fs::read_to_string(&mark).expect("a mark"), "highwater state 1\n", "{}", crate::FROZEN);
    fs::write(&mark, "highwater state 2\nwhatever else it may say\n").expect("written");
    let texts = ["has a file `format` that does not say `highwater state 1`"];
    refused(TOPOLOGY, dir.path(), &texts);
    fs::write(&mark, "highwater state 2\n").expect("written");
    let texts = [
        "state is a state directory in format 2",
        "knows format 1 only",
        "Run the version that wrote it",
        "--state DIR",
    ];
    refused(TOPOLOGY, dir.path(), &texts);
    // The way out: another directory, restored from the changelogs.
    let elsewhere = TOPOLOGY.replace("path: state", "path: elsewhere");
    let log = run_through(&elsewhere, dir.path());
    says(&log, &["restored"]);
    check_outputs(dir.path(), "with another directory");
    assert_eq!(fs::read_to_string(&mark).expect("a mark"), "highwater state 2\n");
}

#[test]
fn a_log_of_a_later_version_is_refused() {
    let dir = unpacked("stopped");
    let mark = dir.join("log/format");
    assert_eq!(fs::read_to_string(&mark).expect("a mark"), "highwater log 1\n", "{}", crate::FROZEN);
    let whole = tree(&dir.join("log"));
    fs::write(&mark, "highwater log 2\n").expect("written");
    let marked = tree(&dir.join("log"));
    let log = run_to_failure(TOPOLOGY, dir.path());
    says(&log, &["log is an embedded log in format 2", "knows format 1 only", "--embedded=DIR"]);
    assert_eq!(tree(&dir.join("log")), marked);
    // Other commands look first, too.
    let mut consume = Highwater::command(&["consume", OUT, "--embedded=log"], &[], dir.path());
    assert_eq!(consume.wait(LONG).code(), Some(1));
    says(&consume.log(), &["in format 2"]);
    assert_eq!(tree(&dir.join("log")), marked);
    fs::write(&mark, "highwater log 1\n").expect("written");
    assert_eq!(tree(&dir.join("log")), whole);
    run_through(TOPOLOGY, dir.path());
}

/// A mark is lost, a database is not: it says its format, too.
#[test]
fn a_database_of_a_later_version_is_refused_without_its_mark() {
    let dir = unpacked("stopped");
    fs::remove_file(dir.join("log/format")).expect("a mark");
    {
        let db = rocksdb::DB::open_default(dir.join("log/data")).expect("a database");
        assert_eq!(db.get("f").expect("an answer").as_deref(), Some(&b"1"[..]), "{}", crate::FROZEN);
        db.put("f", "2").expect("written");
    }
    let log = run_to_failure(TOPOLOGY, dir.path());
    says(&log, &["the embedded log has format \"2\"", "knows format \"1\" only"]);
    assert!(!dir.join("log/format").exists(), "and is not marked as ours");
    // A database of another program.
    fs::remove_dir_all(dir.join("log")).expect("a log");
    fs::create_dir_all(dir.join("log")).expect("a directory");
    rocksdb::DB::open_default(dir.join("log/data")).expect("a database").put("theirs", "1").expect("written");
    let log = run_to_failure(TOPOLOGY, dir.path());
    says(&log, &["the embedded log has format \"\""]);
    let db = rocksdb::DB::open_default(dir.join("log/data")).expect("a database");
    assert_eq!(db.get("f").expect("an answer"), None, "nothing was written into it");
}

#[test]
fn what_is_no_mark_of_ours_is_refused() {
    for (garbage, shown) in [(&b""[..], "does not say"), (b"\xff\x00\n1 2 3", "does not say"), (b"1", "does not say")] {
        for (kind, expected) in [("state", "`highwater state 1`"), ("log", "`highwater log 1`")] {
            let dir = unpacked("stopped");
            fs::write(dir.join(kind).join("format"), garbage).expect("written");
            let kept = tree(&dir.join(kind));
            let log = run_to_failure(TOPOLOGY, dir.path());
            says(&log, &[&format!("{kind} has a file `format` that {shown} {expected}"), "another program's"]);
            assert_eq!(tree(&dir.join(kind)), kept);
        }
    }
}

/// Directories from before there were marks are known by their files, and marked.
#[test]
fn what_has_no_mark_yet_is_adopted() {
    let dir = unpacked("stopped");
    for kind in ["state", "log"] {
        fs::remove_file(dir.join(kind).join("format")).expect("a mark");
    }
    let other = TOPOLOGY.replace("application: old-state", "application: squatter");
    refused(&other, dir.path(), &["holds the state of application `old-state`"]);
    stopped_stays(&dir);
    for kind in ["state", "log"] {
        let mark = fs::read_to_string(dir.join(kind).join("format")).expect("a mark");
        assert_eq!(mark, format!("highwater {kind} 1\n"));
    }
}

fn stopped_stays(dir: &Dir) {
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "as it was");
}

/// A mistyped path must not fill somebody's home with stores, nor make a log of it.
#[test]
fn a_directory_of_somebody_is_left_as_it_is() {
    let dir = unpacked("stopped");
    let home = dir.join("home");
    fs::create_dir_all(home.join("letters")).expect("a directory");
    fs::write(home.join("letters/to-ann"), "dear Ann").expect("a file");
    fs::write(home.join(".profile"), "").expect("a file");
    let texts =
        ["home is not a state directory: there are other files in it (\".profile\" and 1 more)", "Nothing was changed"];
    refused(&TOPOLOGY.replace("path: state", "path: home"), dir.path(), &texts);
    assert!(!home.join("lock").exists(), "not even a lock");
    let log =
        refused(&TOPOLOGY.replace("embedded: log", "embedded: home"), dir.path(), &["home is not an embedded log"]);
    says(&log, &["--embedded=DIR"]);
    for command in [&["produce", "topic", "--embedded=home"][..], &["consume", "topic", "--embedded=home"]] {
        let before = tree(&home);
        let mut process = Highwater::command(command, &[], dir.path());
        assert_eq!(process.wait(LONG).code(), Some(1), "{command:?}");
        says(&process.log(), &["home is not an embedded log"]);
        assert_eq!(tree(&home), before, "{command:?}");
    }
    // Stores without their instance may be anybody's.
    let stores = dir.join("loose");
    fs::create_dir(&stores).expect("a directory");
    fs::rename(dir.join("state/stores"), stores.join("stores")).expect("moved");
    let log = run_to_failure(&TOPOLOGY.replace("path: state", "path: loose"), dir.path());
    says(&log, &["loose is not a state directory: there are other files in it (\"stores\")"]);
}

#[test]
fn state_and_log_are_not_taken_for_each_other() {
    let dir = unpacked("stopped");
    refused(
        &TOPOLOGY.replace("path: state", "path: log"),
        dir.path(),
        &["log is an embedded log, not a state directory"],
    );
    refused(
        &TOPOLOGY.replace("embedded: log", "embedded: state"),
        dir.path(),
        &["state is a state directory, not an embedded log"],
    );
    // One new directory for both.
    let both = TOPOLOGY.replace("embedded: log", "embedded: new").replace("path: state", "path: new");
    says(&run_to_failure(&both, dir.path()), &["new is a state directory, not an embedded log"]);
    // The log below the state is what a topology without paths has.
    fs::rename(dir.join("log"), dir.join("state/log")).expect("moved");
    run_through(&TOPOLOGY.replace("embedded: log", "embedded: state/log"), dir.path());
}

#[test]
fn a_file_is_no_directory() {
    let dir = unpacked("stopped");
    fs::write(dir.join("file"), "text").expect("a file");
    let texts = ["file is a file, and a state directory is a directory"];
    refused(&TOPOLOGY.replace("path: state", "path: file"), dir.path(), &texts);
    refused(&TOPOLOGY.replace("path: state", "path: file/state"), dir.path(), &["file/state", "Not a directory"]);
    let texts = ["file is a file, and an embedded log is a directory"];
    refused(&TOPOLOGY.replace("embedded: log", "embedded: file"), dir.path(), &texts);
    assert_eq!(fs::read_to_string(dir.join("file")).expect("a file"), "text");
}

#[test]
fn a_damaged_instance_file_says_the_way_out_and_it_works() {
    let dir = unpacked("stopped");
    let path = dir.join("state/instance");
    for text in [
        "",
        "old-state 0123456789abcdef",
        "old-state 0123456789abcdef two",
        "old-state 0123456789abcdef 2 more",
        "\0\0\0",
    ] {
        fs::write(&path, text).expect("written");
        let texts = ["state/instance does not say APPLICATION INSTANCE WORKERS", "remove this one file"];
        refused(TOPOLOGY, dir.path(), &texts);
    }
    fs::remove_file(&path).expect("a file");
    again_and_more(&open_log(dir.path()));
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "with a new name");
}

fn with_secret(secret: &str) -> String {
    TOPOLOGY
        .replace("state: { path: state }", "state: { path: state, secret: digests }")
        .replace("secrets: {", &format!("secrets: {{ digests: {secret},"))
        .replace("{ mask: { fields", "{ mask: { secret: pii, fields")
}

/// Logical bytes, because opening a database writes diaries.
fn contents(dir: &Path) -> String {
    stores_text(&stores(dir))
}

#[test]
fn state_under_another_key_is_refused() {
    const WORDS: [&str; 3] = ["state.secret", "Give `state.secret` back what it was", "recreate the output topics"];
    let dir = unpacked("stopped");
    let own = contents(dir.path());
    let log = run_to_failure(&with_secret("now-there-is-one-here"), dir.path());
    says(&log, &WORDS);
    says(&log, &["was filled without state.secret, and now one is set"]);
    assert_eq!(contents(dir.path()), own);
    // The changelog says the same where the store is gone; nothing is processed, and nothing restored beyond its key.
    fs::remove_dir_all(dir.join("state")).expect("state");
    let before = read(&open_log(dir.path()), OUT, Isolation::Uncommitted).len();
    let log = run_to_failure(&with_secret("now-there-is-one-here"), dir.path());
    says(&log, &["was filled without state.secret, and now one is set"]);
    assert_eq!(read(&open_log(dir.path()), OUT, Isolation::Uncommitted).len(), before);
    fs::remove_dir_all(dir.join("state")).expect("state");
    run_through(TOPOLOGY, dir.path());
    check_outputs(dir.path(), "under its own key");
}

#[test]
fn state_of_another_secret_is_refused() {
    let dir = Dir::new("old-state-secret");
    let [first, second] = parts();
    {
        let log = open_log(dir.path());
        log.admin().create(CUSTOMERS, 2, &[]).expect("a topic");
        log.admin().create(VISITS, 1, &[]).expect("a topic");
        append(&log, &first);
    }
    run_through(&with_secret("the-first-of-two"), dir.path());
    append(&open_log(dir.path()), &second);
    for store in ["kept", "lost"] {
        if store == "lost" {
            fs::remove_dir_all(dir.join("state")).expect("state");
        }
        let kept = (store == "kept").then(|| contents(dir.path()));
        let written = read(&open_log(dir.path()), OUT, Isolation::Uncommitted).len();
        let log = run_to_failure(&with_secret("the-second-of-two"), dir.path());
        says(&log, &["state.secret is not the one that it was filled under"]);
        let log = run_to_failure(TOPOLOGY, dir.path());
        says(&log, &["it was filled under state.secret, and now none is set"]);
        assert_eq!(read(&open_log(dir.path()), OUT, Isolation::Uncommitted).len(), written, "{store}");
        kept.into_iter().for_each(|kept| assert_eq!(contents(dir.path()), kept));
        assert!(!log.contains("the-first"), "{log}");
    }
    run_through(&with_secret("the-first-of-two"), dir.path());
    again_and_more(&open_log(dir.path()));
    run_through(&with_secret("the-first-of-two"), dir.path());
    check_outputs(dir.path(), "under the first secret");
}

/// A store of the same name whose checkpoint another version wrote is not an empty one.
#[test]
fn a_store_of_a_later_version_is_refused() {
    let dir = unpacked("stopped");
    let name = stores(dir.path()).into_keys().find(|name| name.starts_with("customers")).expect("a store");
    let put = |value: &[u8]| {
        let path = dir.join("state/stores");
        let options = rocksdb::Options::default();
        let names = rocksdb::DB::list_cf(&options, &path).expect("stores");
        let db = rocksdb::DB::open_cf(&options, &path, names).expect("a database");
        db.put_cf(&db.cf_handle(&name).expect("a store"), layout::CHECKPOINT, value).expect("written");
    };
    for checkpoint in [&b"\x02and more than we know"[..], b"\x01too short"] {
        put(checkpoint);
        let before = contents(dir.path());
        let log = run_to_failure(TOPOLOGY, dir.path());
        let first = format!("the first is {:#04x}", checkpoint[0]);
        says(&log, &["store customers/", "its checkpoint", &first, "Run the version that wrote it", "--state DIR"]);
        assert_eq!(contents(dir.path()), before);
    }
}

/// A record of a later version, or of nobody, stops a restore by its place: skipped it would be a position forgotten.
#[test]
fn a_changelog_with_records_that_are_not_ours_is_refused() {
    /// Key, value, and what is said of them.
    type Odd<'a> = (&'a [u8], Option<&'a [u8]>, &'static str);
    let row = layout::data_key(&[0x77; 16]);
    let lines: [Odd<'_>; 5] = [
        (b"\x02\x01later key", Some(b"\x10"), "its key (11 bytes, the first is 0x02)"),
        (&row, Some(b"\x20\x01\x02\x03"), "its value (4 bytes, the first is 0x20)"),
        (&row, Some(b"garbage of a stranger"), "its value (21 bytes, the first is 0x67)"),
        (layout::EPOCHS, Some(b"\x02"), "its value (1 bytes, the first is 0x02)"),
        (layout::DIGEST_KEY, None, "it deletes what a changelog must have"),
    ];
    for (key, value, why) in lines {
        let dir = unpacked("stopped");
        let (written, offset) = {
            let log = open_log(dir.path());
            let offset = log.admin().bounds(&TopicPartition::new(CHANGELOG, 1)).expect("bounds").end;
            let (key, value) = (Some(key.to_vec()), value.map(<[u8]>::to_vec));
            append(&log, &[Line { topic: CHANGELOG.into(), partition: Some(1), key, value, ..Line::default() }]);
            again_and_more(&log);
            (read(&log, OUT, Isolation::Uncommitted).len(), offset)
        };
        fs::remove_dir_all(dir.join("state/stores")).expect("stores");
        for start in 0..2 {
            let log = run_to_failure(TOPOLOGY, dir.path());
            says(
                &log,
                &[
                    &format!("changelog {CHANGELOG}-1, offset {offset}: {why}"),
                    "later version of Highwater",
                    "delete the changelog",
                ],
            );
            assert!(!log.contains("stranger"), "its bytes may be anything: {log}");
            // Other partitions may have gone on meanwhile; of this one nothing left.
            let log = open_log(dir.path());
            let odd = read(&log, OUT, Isolation::Uncommitted)[written..].iter().any(|read| {
                let row: serde_json::Value =
                    serde_json::from_slice(read.value.as_deref().expect("a row")).expect("JSON");
                row["id"].as_u64().expect("an id") % 2 == 1
            });
            assert!(!odd, "start {start}: {why}");
        }
    }
}

/// The beginning of a changelog was deleted, and with it what its rows are found by.
#[test]
fn a_changelog_without_its_digest_key_is_refused() {
    let dir = unpacked("stopped");
    {
        let log = open_log(dir.path());
        let tp = TopicPartition::new(CHANGELOG, 0);
        let reads = read(&log, CHANGELOG, Isolation::Committed);
        let of_zero = reads.iter().filter(|read| read.partition == 0);
        let key = of_zero.clone().find(|read| read.key.as_deref() == Some(layout::DIGEST_KEY)).expect("a digest key");
        assert!(of_zero.clone().any(|read| read.offset > key.offset));
        log.truncate(&tp, key.offset + 1).expect("truncated");
    }
    fs::remove_dir_all(dir.join("state/stores")).expect("stores");
    let log = run_to_failure(TOPOLOGY, dir.path());
    says(&log, &["holds rows and not its digest key", CHANGELOG, "were deleted", "recreate the output topics"]);
}
