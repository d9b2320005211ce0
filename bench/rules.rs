//! What each rule costs a value, beside the SHA-256 of the same value. None may cost more than three times as much.
//!
//!     make bench-rules
//!
//! A row of 40 columns goes through the mask with every column under one rule, and once with none; the difference is
//! the rules'. Rules take turns and the least of many rounds counts, so that other work on the machine weighs little.

use std::time::Instant;

use highwater::operators::mask::Mask;
use highwater::record::change::{Decoded, decode};
use highwater::topology::{Mode, Topology};
use sha2::{Digest, Sha256};

const COLUMNS: usize = 40;
const ROWS: usize = 200;
const ROUNDS: usize = 400;
const MOST: f64 = 3.0;

const EMAIL: &str = r#""ivan.ivanov.42@example.com""#;

/// Rules with a value that is usual for them.
const RULES: [(&str, &str); 18] = [
    ("passthrough", EMAIL),
    ("hash", EMAIL),
    ("hmac", EMAIL),
    ("truncate", r#""Ivan Ivanov""#),
    ("partial", r#""4111 1111 1111 1234""#),
    ("redact", EMAIL),
    ("{ rule: constant, value: 0 }", EMAIL),
    ("set_null", EMAIL),
    ("email_domain", EMAIL),
    ("{ rule: generalize, step: 10 }", "37"),
    ("{ rule: generalize, step: 0.5 }", r#""12345.67""#),
    ("{ rule: generalize, to: year, unit: days }", "7441"),
    ("{ rule: generalize, to: month }", r#""1990-05-17""#),
    ("{ rule: generalize, to: hour }", r#""2026-11-02T10:11:12.123456Z""#),
    ("ip_prefix", r#""203.0.113.77""#),
    ("ip_prefix", r#""2001:db8:1234:5678::9""#),
    ("hmac", r#""iv\u0061n.ivanov.42@example.com""#),
    ("drop", EMAIL),
];

struct Contestant {
    rule: &'static str,
    value: &'static str,
    mask: Mask,
    envelope: String,
    /// Nanoseconds a row.
    least: f64,
    sha256: f64,
}

impl Contestant {
    fn new(rule: &'static str, value: &'static str) -> Self {
        let fields: String = (0..COLUMNS).map(|n| format!("            c{n}: {rule}\n")).collect();
        let text = format!(
            "application: bench\nkafka: {{ bootstrap.servers: none }}\nsecrets: {{ k: 0123456789abcdef0123456789abcdef }}\nstreams:\n  s:\n    \
             from: in\n    to: out\n    steps:\n      - dedup\n      - mask:\n          fields:\n{fields}"
        );
        let loaded = Topology::parse(&text, "topology.yaml", std::path::Path::new(""), Mode::Run, &|_| None);
        let mut topology = loaded.unwrap_or_else(|found| panic!("{found}")).topology;
        let columns: Vec<String> = (0..COLUMNS).map(|n| format!("\"c{n}\":{value}")).collect();
        let envelope = format!(r#"{{"op":"c","after":{{{}}},"source":{{"table":"t"}}}}"#, columns.join(","));
        let mask = Mask::new(topology.streams.remove(0).mask).expect("a mask");
        Self { rule, value, mask, envelope, least: f64::MAX, sha256: f64::MAX }
    }

    fn round(&mut self) {
        let Ok(Decoded::Change(change)) = decode(Some(self.envelope.as_bytes())) else { panic!("no change") };
        let mut out = Vec::with_capacity(64 << 10);
        let begun = Instant::now();
        for _ in 0..ROWS {
            self.mask.row(&change, 1, false, &mut out).expect("a row");
            std::hint::black_box(&out);
        }
        self.least = self.least.min(begun.elapsed().as_secs_f64() * 1e9 / ROWS as f64);
        let value = self.value.trim_matches('"').as_bytes();
        let begun = Instant::now();
        for _ in 0..ROWS * COLUMNS {
            std::hint::black_box(Sha256::digest(std::hint::black_box(value)));
        }
        self.sha256 = self.sha256.min(begun.elapsed().as_secs_f64() * 1e9 / (ROWS * COLUMNS) as f64);
    }
}

fn main() -> std::process::ExitCode {
    let mut all: Vec<Contestant> = RULES.iter().map(|(rule, value)| Contestant::new(rule, value)).collect();
    let mut plain: Vec<Contestant> = RULES.iter().map(|(_, value)| Contestant::new("passthrough", value)).collect();
    for _ in 0..ROUNDS {
        all.iter_mut().chain(&mut plain).for_each(Contestant::round);
    }
    println!("{:46}{:34}{:>9}{:>9}{:>8}", "rule", "value", "rule ns", "sha ns", "ratio");
    let mut worst = 0.0f64;
    for (one, plain) in all.iter().zip(&plain) {
        let cost = (one.least - plain.least).max(0.0) / COLUMNS as f64;
        let ratio = cost / one.sha256;
        worst = worst.max(ratio);
        println!("{:46}{:34}{cost:>9.1}{:>9.1}{ratio:>8.2}", one.rule, one.value, one.sha256);
    }
    println!("\nthe dearest costs {worst:.2} times the SHA-256 of its value; {MOST} are allowed");
    if worst <= MOST { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
