//! What the integration tests share: a real broker, the built binary, captured topics, and an oracle.
//!
//! Nothing here measures time. Tests wait for conditions, with deadlines far beyond what a slow machine needs.

// Every test binary compiles all of it and uses a part.
#![allow(dead_code, unused_imports)]

pub mod bad;
pub mod broker;
pub mod changes;
pub mod clickhouse;
pub mod cluster;
pub mod compose;
pub mod connect;
pub mod database;
pub mod dir;
pub mod files;
pub mod fixture;
pub mod http;
pub mod oracle;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod searched;
pub mod server;
pub mod signal;
pub mod topics;

use std::time::{Duration, Instant};

pub use broker::Broker;
pub use clickhouse::ClickHouse;
pub use cluster::Cluster;
pub use dir::Dir;
pub use fixture::{Fixture, Line};
pub use process::Highwater;
pub use proxy::Proxy;
pub use redis::Redis;
pub use topics::{Isolation, Read};

/// Long enough for anything that will happen at all.
pub const DEADLINE: Duration = Duration::from_secs(120);

/// Asks until there is an answer. Panics with `what` when there is none before the deadline.
#[track_caller]
pub fn wait_until<T>(deadline: Duration, what: &str, mut answer: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(start.elapsed() < deadline, "not within {} s: {what}", deadline.as_secs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes the call again while it says that nothing was decided.
#[track_caller]
pub fn patiently<T>(what: &str, mut call: impl FnMut() -> highwater::log::Result<T>) -> T {
    wait_until(DEADLINE, what, || match call() {
        Ok(done) => Some(done),
        Err(highwater::log::LogError::Retry(_)) => None,
        Err(error) => panic!("{what}: {error:?}"),
    })
}
