//! The bytes of state, one by one: keys, entries, epochs, checkpoints, digests, names. Each is pinned, because what is out
//! there is not changed by changing this program.

use highwater::engine::identity::Identity;
use highwater::operators::dedup::Entry;
use highwater::record::change::{Snapshot, Source};
use highwater::record::key::canonical;
use highwater::record::position::{Epochs, Position};
use highwater::store::digest::{Digester, StateKey};
use highwater::store::{Checkpoint, layout};

use crate::FROZEN;
use crate::application::{CUSTOMERS, TOPOLOGY};
use crate::record::{hex, unhex};
use crate::support::Dir;

#[test]
fn keys_of_stores_and_changelogs() {
    assert_eq!(layout::VERSION, 1, "{FROZEN}");
    assert_eq!(layout::CHECKPOINT, b"\x00checkpoint", "{FROZEN}");
    assert_eq!(layout::MARK, b"\x00mark", "{FROZEN}");
    assert_eq!(layout::DIGEST_KEY, b"\x01\x00k", "{FROZEN}");
    assert_eq!(layout::EPOCHS, b"\x01\x00e", "{FROZEN}");
    let row = layout::data_key(&[0xab; 16]);
    assert_eq!(hex(&row), format!("0101{}", "ab".repeat(16)), "{FROZEN}");
}

#[test]
fn checkpoints() {
    let checkpoint = Checkpoint { topic_id: [0x11; 16], offset: 258, at_ms: 1_700_000_000_000 };
    let bytes = format!("01{}00000000000001020000018bcfe56800", "11".repeat(16));
    assert_eq!(hex(&checkpoint.encode()), bytes, "{FROZEN}");
    assert_eq!(Checkpoint::decode(&unhex(&bytes)), Some(checkpoint), "{FROZEN}");
}

#[test]
fn entries() {
    let entry = |epoch, commit, kind, lsn, version, offset, withheld| Entry {
        position: Position { epoch, commit, kind, lsn },
        version,
        offset,
        withheld,
    };
    for (entry, bytes) in [
        (Entry::default(), "100000000000"),
        (entry(1, 0, 0, 35_677_672, 35_677_672, 0, false), "1001e8cb8111d09783220000"),
        (entry(3, 26_573_096, 1, 100_675_272, 100_675_273, 300, false), "1103c8dd8030c0d6d54602d804"),
        (entry(300, 5, 1, 6, 9, 1 << 40, true), "13ac02060206808080808040"),
        (
            entry(u32::MAX, u64::MAX, 1, u64::MAX, u64::MAX, i64::MAX, true),
            "13ffffffff0fffffffffffffffffff010000feffffffffffffffff01",
        ),
    ] {
        assert_eq!(hex(&entry.encode()), bytes, "{entry:?}: {FROZEN}");
        assert_eq!(Entry::decode(&unhex(bytes)), Some(entry), "{FROZEN}");
    }
}

fn source(snapshot: Snapshot, commit: Option<u64>, lsn: u64, ts_us: Option<i64>) -> Source<'static> {
    let (name, db, schema, table) = ("brew".into(), "shop".into(), "public".into(), "customers".into());
    Source { name, db, schema, table, snapshot, lsn: Some(lsn), sequence: (commit, Some(lsn)), ts_us }
}

#[test]
fn epochs() {
    let mut epochs = Epochs::default();
    epochs.bind([0x22; 16]);
    epochs.epoch(0, &source(Snapshot::Initial, None, 100, None));
    epochs.epoch(5, &source(Snapshot::No, Some(258), 300, Some(20)));
    epochs.epoch(6, &source(Snapshot::No, Some(7), 8, Some(30)));
    epochs.epoch(9, &Source { name: "other".into(), ..source(Snapshot::No, Some(1), 2, Some(1)) });
    let bytes = "01222222222222222222222222222222220a00000000000000000000000200000004000000627265770400000073686f701e00000000000000030000000000000000000000000000000000000000000000000000000000000000000000010000000201000000000000010000006400000000000000060000000000000002000000070000000000000000000000050000006f746865720400000073686f70010000000000000001000000090000000000000000000000010000000000000000000000";
    assert_eq!(hex(&epochs.encode()), bytes, "{FROZEN}");
    assert_eq!(Epochs::decode(&unhex(bytes)), Some(epochs.clone()), "{FROZEN}");
    epochs.bind([0x33; 16]);
    assert_eq!(hex(&epochs.encode()), "013333333333333333333333333333333300000000000000000300000000000000", "{FROZEN}");
}

#[test]
fn digests_of_record_keys() {
    let own = StateKey::Own([7; 32]);
    assert_eq!(hex(&own.encode()), format!("01{}", "07".repeat(32)), "{FROZEN}");
    let derived = StateKey::derive(b"a secret", "app/customers/topic", 3);
    assert_eq!(
        hex(&derived.encode()),
        "02fa070be6690c0118692e2dd7a5a3022acfbc59fc22882c11ddd3e37194f2bb98",
        "{FROZEN}"
    );
    let mut form = Vec::new();
    let mut digest = |key: &StateKey, text: &str| {
        canonical(text.as_bytes(), &mut form).expect("a key");
        (hex(&form), hex(&Digester::new(key, "customers", "topic").data_key(&form)))
    };
    for (text, canonical, under_own, under_derived) in [
        (
            r#"{"id":1}"#,
            "0200000069646a0100000031",
            "010123e0ca3f618cec3d4e7aa67842cdb564",
            "01018055bddb8907c46b20d5e52fe160c03b",
        ),
        (
            r#"{"schema":null,"payload":{"b":"\u00fc","a":null}}"#,
            "01000000616a040000006e756c6c01000000627302000000c3bc",
            "0101d0a8e9245486e5e35386221d18ca2ed4",
            "0101ef6f8ccf52ea56f3595ef48271e01ee9",
        ),
    ] {
        assert_eq!(digest(&own, text), (canonical.into(), under_own.into()), "{text}: {FROZEN}");
        assert_eq!(digest(&derived, text), (canonical.into(), under_derived.into()), "{text}: {FROZEN}");
    }
}

#[test]
fn names() {
    let dir = Dir::new("old-state-names");
    std::fs::write(dir.join("topology.yaml"), TOPOLOGY).expect("a topology");
    let env = |name: &str| (name == "SALT").then(|| "s".to_string());
    let loaded = highwater::topology::Topology::load(&dir.join("topology.yaml"), highwater::topology::Mode::Run, &env);
    let topology = loaded.unwrap_or_else(|e| panic!("{e}")).topology;
    let changelog = topology.changelog("customers", CUSTOMERS);
    assert_eq!(changelog, "old-state-customers-old.cdc.public.customers-changelog", "{FROZEN}");

    let state = dir.join("state");
    std::fs::create_dir_all(&state).expect("a directory");
    std::fs::write(state.join("format"), "highwater state 1\n").expect("written");
    std::fs::write(state.join("instance"), "old-state 0123456789abcdef 3\n").expect("written");
    let clock = highwater::engine::clock::SystemClock;
    let identity = Identity::claim(&state, "old-state", 2, &clock).expect("what version 1 wrote");
    assert_eq!((identity.instance.as_str(), identity.retired_workers), ("0123456789abcdef", 3), "{FROZEN}");
    assert_eq!(identity.transactional_id("old-state", 1), "old-state-0123456789abcdef-1", "{FROZEN}");
    let read = |name: &str| std::fs::read_to_string(state.join(name)).expect("a file");
    assert_eq!(read("instance"), "old-state 0123456789abcdef 3\n", "{FROZEN}");
    assert_eq!(read("format"), "highwater state 1\n", "{FROZEN}");
    assert_eq!(read("lock"), std::process::id().to_string());
}
