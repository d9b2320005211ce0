//! The pieces of the hot path, each alone: where a change of the whole job's figures comes from.
//!
//!     make bench-micro
//!     make bench-micro ARGS=store

// The contest uses more of them.
#[allow(dead_code)]
mod digest;
#[allow(dead_code)]
mod workload;

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use highwater::operators::dedup::{Entry, Verdict, judge};
use highwater::operators::mask::Mask;
use highwater::record::change::{Change, Decoded, decode};
use highwater::record::position::Position;
use highwater::store::digest::{Digester, StateKey};
use highwater::store::{Checkpoint, Database, Store};
use highwater::topology::{Mode, Topology};
use workload::{FIRST_LSN, Wide, Workload};

/// Changes of the contest: keys and envelopes.
fn changes(count: u64, wide: Wide) -> Vec<(String, String)> {
    let mut found = Vec::new();
    Workload { records: count, keys: count, seed: 0, wide, first_lsn: FIRST_LSN }.generate(&mut |record| {
        found.extend(record.value.map(|value| (record.key.to_owned(), value.to_owned())));
        true
    });
    found
}

fn change(value: &str) -> Change<'_> {
    match decode(Some(value.as_bytes())) {
        Ok(Decoded::Change(change)) => change,
        _ => panic!("no change: {value}"),
    }
}

fn mask(fields: &str) -> Mask {
    let text = format!(
        "application: bench\nkafka: {{ bootstrap.servers: none }}\nsecrets: {{ k: 0123456789abcdef0123456789abcdef }}\n\
         streams:\n  s:\n    from: in\n    to: out\n    steps:\n      - dedup\n      - mask: {{ fields: {{ {fields} }} }}\n"
    );
    let loaded = Topology::parse(&text, "topology.yaml", Path::new(""), Mode::Run, &|_| None);
    let mut topology = loaded.unwrap_or_else(|found| panic!("{found}")).topology;
    Mask::new(topology.streams.remove(0).mask).expect("a mask")
}

const RULES: &str = "email: hash, phone: hash, full_name: truncate, birth_date: drop, notes: drop";

fn splice(c: &mut Criterion) {
    let wide = Wide { columns: 200, masked: 20, width: 12 };
    let masked: String = (0..20).map(|n| format!(", c{n}: hash")).collect();
    let cases = [
        ("customer", Wide::default(), RULES.to_owned()),
        ("customer, no rule", Wide::default(), "id: passthrough".to_owned()),
        ("200 columns, 20 hashed", wide, format!("{RULES}{masked}")),
    ];
    let mut group = c.benchmark_group("splice");
    for (name, wide, rules) in cases {
        let (_, envelope) = changes(1, wide).remove(0);
        let (mut mask, mut out) = (mask(&rules), Vec::with_capacity(1 << 20));
        group.throughput(Throughput::Bytes(envelope.len() as u64));
        group.bench_function(format!("{name}: decode"), |b| b.iter(|| drop(black_box(change(black_box(&envelope))))));
        let change = change(&envelope);
        group.bench_function(format!("{name}: row"), |b| {
            b.iter(|| {
                mask.row(&change, 1, false, &mut out).expect("a row");
                black_box(out.len())
            });
        });
    }
    group.finish();
}

fn comparator(c: &mut Criterion) {
    let mut group = c.benchmark_group("comparator");
    let position = Position { epoch: 1, commit: FIRST_LSN, kind: 1, lsn: FIRST_LSN + 8 };
    let last = Entry { position, version: FIRST_LSN, offset: 41, withheld: false };
    let newer = Position { lsn: position.lsn + 1, ..position };
    group.bench_function("judge", |b| b.iter(|| judge(black_box(Some(last)), black_box(newer), 42)));
    let bytes = last.encode();
    group.bench_function("an entry's bytes", |b| b.iter(|| Entry::decode(black_box(&bytes))));
    assert!(matches!(judge(Some(last), newer, 42), Verdict::Accept(_)));
    group.finish();
}

struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Keys as they stand in stores.
fn keys(digester: &Digester, from: u64, count: u64) -> Vec<Vec<u8>> {
    (from..from + count).map(|id| digester.data_key(format!("[{id}]").as_bytes()).to_vec()).collect()
}

fn store(c: &mut Criterion) {
    const KEPT: u64 = 200_000;
    let dir = Temporary(std::env::temp_dir().join(format!("highwater-micro-{}", std::process::id())));
    let database = Database::open(&dir.0, 64 << 20).expect("a database");
    let mut store = Store::new(database.partition("s/t-0").expect("a partition"));
    let digester = Digester::new(&StateKey::Own([7; 32]), "s", "t");
    let entry = Entry { position: Position { lsn: FIRST_LSN, ..Position::default() }, ..Entry::default() }.encode();
    let checkpoint = Checkpoint { topic_id: [7; 16], offset: 1, at_ms: 0 };
    let kept = keys(&digester, 0, KEPT);
    for key in &kept {
        store.stage(key, Some(&entry));
    }
    store.apply(&checkpoint, None).expect("applied");
    store.flush(true).expect("flushed");
    let missing = keys(&digester, KEPT, 1000);

    let mut group = c.benchmark_group("store");
    group.bench_function("a key's digest", |b| b.iter(|| digester.data_key(black_box(b"[12345]"))));
    let mut at = 0;
    group.bench_function("a key that is there, in no order", |b| {
        b.iter(|| {
            at = (at + 7919) % kept.len();
            store.get(&kept[at], Entry::decode).expect("read")
        });
    });
    group.bench_function("a key that is not there", |b| {
        b.iter(|| {
            at = (at + 1) % missing.len();
            store.get(&missing[at], Entry::decode).expect("read")
        });
    });
    group.throughput(Throughput::Elements(1000));
    group.bench_function("1000 keys staged, applied and written", |b| {
        b.iter_batched(
            || kept.iter().skip(at % 1000).step_by(199).take(1000).collect::<Vec<_>>(),
            |some| {
                some.into_iter().for_each(|key| store.stage(key, Some(&entry)));
                store.apply(&checkpoint, None).expect("applied");
                store.write().expect("written");
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, splice, comparator, store);
criterion_main!(benches);
