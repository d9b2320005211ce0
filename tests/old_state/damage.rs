//! Files that are torn, flipped or gone. Stores are noticed and restored, or refused; an embedded log, which nothing can
//! restore, is refused. Neither is ever taken for something else than it was.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use highwater::log::embedded::EmbeddedLog;
use highwater::log::{Client, Log as _};
use highwater::store::{Database, layout};

use crate::application::*;
use crate::kept::{data, fixture, kept_stores, stopped_just_now};
use crate::record::{Stores, changelogs, try_log_text};
use crate::support::Dir;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Damage {
    Gone,
    CutAt(usize),
    FlippedAt(usize),
    ZeroedFrom(usize),
}

impl Damage {
    fn apply(self, path: &Path) {
        let mut bytes = fs::read(path).expect("a file");
        match self {
            Damage::Gone => return fs::remove_file(path).expect("removed"),
            Damage::CutAt(at) => bytes.truncate(at),
            Damage::FlippedAt(at) => bytes[at] ^= 0x10,
            Damage::ZeroedFrom(at) => bytes[at..].iter_mut().take(512).for_each(|byte| *byte = 0),
        }
        fs::write(path, bytes).expect("written");
    }
}

/// Every file of a database, with what is done to it: about `flips` bytes of each are flipped.
fn damages(directory: &Path, flips: usize) -> Vec<(String, Damage)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !path.is_file() || name == "LOCK" {
            continue;
        }
        let length = fs::metadata(&path).expect("a file").len() as usize;
        all.push((name.clone(), Damage::Gone));
        let cuts = [0, length / 4, length / 2, length * 3 / 4, length.saturating_sub(1)];
        all.extend(cuts.iter().filter(|at| **at < length).map(|at| (name.clone(), Damage::CutAt(*at))));
        all.extend((0..length).step_by((length / flips).max(1)).map(|at| (name.clone(), Damage::FlippedAt(at))));
        all.extend((0..length).step_by((length / 4).max(1)).map(|at| (name.clone(), Damage::ZeroedFrom(at))));
    }
    all.sort_by(|a, b| a.0.cmp(&b.0));
    all
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let path = entry.expect("an entry").path();
        let there = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &there);
        } else {
            fs::copy(&path, &there).expect("copied");
        }
    }
}

type Changes = BTreeMap<String, Vec<(i64, Vec<u8>, Option<Vec<u8>>)>>;

/// What becomes of stores with these files: an error, or each store, completed from its changelog as a restore would.
fn open_stores(path: &Path, kept: &Stores, changes: &Changes) -> Result<Stores, String> {
    let database = Database::open(path, 8 << 20).map_err(|e| e.to_string())?;
    let mut found = Stores::new();
    for (name, was) in kept {
        let store = database.partition(name).map_err(|e| e.to_string())?;
        let checkpoint = store.checkpoint().map_err(|e| e.to_string())?;
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = store.scan().map_err(|e| e.to_string())?.into_iter().collect();
        // As a task looks keys up: a filter that lies would make a known row a new one.
        for key in was.keys() {
            let got = store.get(key, <[u8]>::to_vec).map_err(|e| e.to_string())?;
            assert_eq!(got.as_ref(), rows.get(key), "{name}: looked up and passed by");
        }
        rows.remove(layout::CHECKPOINT);
        rows.remove(layout::MARK);
        if checkpoint.is_none() {
            assert!(rows.is_empty(), "{name}: rows without a checkpoint");
        }
        let from = checkpoint.map_or(0, |c| c.offset + 1);
        for (offset, key, value) in &changes[name] {
            match value {
                Some(value) if *offset >= from => drop(rows.insert(key.clone(), value.clone())),
                None if *offset >= from => drop(rows.remove(key)),
                _ => {}
            }
        }
        found.insert(name.clone(), rows);
    }
    Ok(found)
}

#[test]
fn damaged_stores_are_restored_or_refused_and_never_wrong() {
    let dir = unpacked("stopped");
    let (whole, broken) = (dir.join("state/stores"), dir.join("broken/stores"));
    let kept = data(kept_stores());
    let changes: Changes = changelogs(&fixture("changelogs.txt"))
        .into_iter()
        .map(|(tp, records)| {
            let store =
                tp.replacen("old-state-customers-", "customers/", 1).replacen("old-state-visits-", "visits/", 1);
            (store.replace("-changelog-", "-"), records)
        })
        .collect();
    copy(&whole, &broken);
    assert!(open_stores(&broken, &kept, &changes).expect("stores") == kept, "undamaged");

    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (file, damage) in damages(&whole, 16) {
        let _ = fs::remove_dir_all(dir.join("broken"));
        copy(&whole, &broken);
        damage.apply(&broken.join(&file));
        let outcome = match open_stores(&broken, &kept, &changes) {
            Ok(stores) if stores != kept => {
                wrong.push(format!("{file} {damage:?}"));
                "wrong"
            }
            Ok(_) if broken.with_extension("damaged-1").exists() => "set aside, and restored",
            Ok(_) => "right",
            Err(text) => {
                assert!(text.contains("Start again"), "{file} {damage:?}: no way out in {text}");
                // And the way out works.
                assert!(open_stores(&broken, &kept, &changes).expect("stores") == kept, "{file} {damage:?}: {text}");
                assert!(broken.with_extension("damaged-1").exists(), "{file} {damage:?}: {text}");
                "refused, set aside at the next start, and restored"
            }
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("damaged stores: {outcomes:?}");
    assert!(wrong.is_empty(), "silently wrong: {wrong:#?}");
    assert!(outcomes.values().all(|count| *count >= 20) && outcomes.len() == 3, "{outcomes:?}");
}

#[test]
fn a_damaged_log_is_refused_and_never_shorter() {
    let dir = unpacked("stopped");
    let (whole, broken) = (dir.join("log"), dir.join("broken"));
    let was = fixture("log.txt");
    let open = || -> Result<String, String> {
        let log = EmbeddedLog::open(&broken, Client::named("test")).map_err(|e| e.to_string())?;
        let client = Client { group: APPLICATION.into(), ..Client::named("test") };
        try_log_text(log.as_client(client).map_err(|e| e.to_string())?.as_ref())
    };
    copy(&whole, &broken);
    assert_eq!(open().expect("a log"), was, "undamaged");

    // The one that is written to: what is cut from its end, or zero, looks as what a crash left unwritten.
    let logs = fs::read_dir(whole.join("data")).expect("a directory").map(|entry| entry.expect("an entry").path());
    let newest: PathBuf =
        logs.filter(|path| path.extension().is_some_and(|e| e == "log")).max().expect("a write-ahead log");
    let newest = newest.file_name().expect("a name").to_string_lossy().into_owned();
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (file, damage) in damages(&whole.join("data"), 16) {
        copy(&whole, &broken);
        damage.apply(&broken.join("data").join(&file));
        let outcome = match open() {
            Ok(text) if text == was => "right",
            Ok(_) if file == newest && matches!(damage, Damage::CutAt(_) | Damage::ZeroedFrom(_)) => {
                "ends where the newest write-ahead log was cut"
            }
            Ok(_) => {
                wrong.push(format!("{file} {damage:?}"));
                "wrong"
            }
            Err(text) => {
                assert!(text.contains("damaged"), "{file} {damage:?}: {text}");
                "refused"
            }
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    println!("damaged logs: {outcomes:?}");
    assert!(wrong.is_empty(), "silently wrong: {wrong:#?}");
    assert!(outcomes["refused"] >= 50, "{outcomes:?}");
}

/// Damage in a block is met when the block is read: it stops there, and the next start has it behind it.
#[test]
fn a_damaged_block_stops_and_the_next_start_restores() {
    let dir = unpacked("stopped");
    stopped_just_now(dir.path());
    again_and_more(&open_log(dir.path()));
    let stores = dir.join("state/stores");
    for entry in fs::read_dir(&stores).expect("stores") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "sst") {
            // The first data block of each.
            Damage::FlippedAt(20).apply(&path);
        }
    }
    let log = run_to_failure(TOPOLOGY, dir.path());
    says(
        &log,
        &["Corruption", "Start again: what is damaged is set aside then, and every store restored from its changelog"],
    );
    let log = run_through(TOPOLOGY, dir.path());
    says(&log, &["the state is damaged; it was set aside", "restored"]);
    check_outputs(dir.path(), "after the damage");
    assert!(dir.join("state/stores.damaged-1/CURRENT").exists(), "it is there to be looked at");
}

#[test]
fn stores_without_their_head_are_set_aside_and_restored() {
    for file in ["CURRENT", "MANIFEST"] {
        let dir = unpacked("stopped");
        stopped_just_now(dir.path());
        again_and_more(&open_log(dir.path()));
        for entry in fs::read_dir(dir.join("state/stores")).expect("stores") {
            let path = entry.expect("an entry").path();
            if path.file_name().expect("a name").to_string_lossy().starts_with(file) {
                fs::remove_file(&path).expect("removed");
            }
        }
        let log = run_through(TOPOLOGY, dir.path());
        says(&log, &["the state is damaged; it was set aside", file, "restored"]);
        check_outputs(dir.path(), file);
        let ssts = fs::read_dir(dir.join("state/stores.damaged-1")).expect("set aside").flatten();
        assert!(ssts.filter(|e| e.path().extension().is_some_and(|e| e == "sst")).count() > 0, "nothing was removed");
    }
}

/// A process that died while it made its directories: the next one makes them.
#[test]
fn what_was_never_whole_is_made_anew() {
    let dir = Dir::new("old-state-unborn");
    fs::create_dir_all(dir.join("log/data")).expect("a directory");
    fs::write(dir.join("log/data/IDENTITY"), "x").expect("written");
    fs::write(dir.join("log/format.new"), "highwa").expect("written");
    fs::create_dir_all(dir.join("state/stores")).expect("a directory");
    fs::write(dir.join("state/format"), "highwater state 1\n").expect("written");
    fs::write(dir.join("state/instance.new"), "").expect("written");
    {
        let log = open_log(dir.path());
        for (topic, partitions) in [(CUSTOMERS, 2), (VISITS, 1)] {
            log.admin().create(topic, partitions, &[]).expect("a topic");
        }
        parts().iter().for_each(|part| append(&log, part));
    }
    let log = run_through(TOPOLOGY, dir.path());
    assert!(!log.contains("set aside"), "{log}");
    check_outputs(dir.path(), "from nothing");
}
