//! Tells Redis as of when each tenant's rows are, on a thread of its own: no sink waits for it.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::connectors::redis::{Config, Server};
use crate::telemetry::Metrics;
use crate::telemetry::freshness::{Outbox, Taken, iso8601};

/// Tenants of one request.
const MOST: usize = 500;
/// At a stop, how long a server that does not answer is asked for.
const PATIENCE: Duration = Duration::from_secs(5);
/// At a stop, how long the thread is waited for: one that resolves a name may hang for longer than anyone should wait.
const JOIN: Duration = Duration::from_secs(15);
const WARN_EVERY: Duration = Duration::from_secs(60);

/// Runs until it is told to finish.
pub struct LastSync {
    outbox: Arc<Outbox>,
    ended: Receiver<()>,
}

impl LastSync {
    pub fn start(config: &Config, metrics: &Metrics) -> std::io::Result<Self> {
        let outbox = Arc::new(metrics.outbox());
        metrics.freshness().tell(outbox.clone());
        let (tell, ended) = channel();
        let (mut server, own) = (Server::new(config.clone()), outbox.clone());
        std::thread::Builder::new().name("redis".into()).spawn(move || {
            drive(&own, &mut |values| server.raise(values));
            // Nobody may be waiting.
            let _ = tell.send(());
        })?;
        Ok(Self { outbox, ended })
    }

    /// Nothing more comes: writes what waits, as far as the server lets it.
    pub fn finish(self) {
        self.outbox.close();
        let _ = self.ended.recv_timeout(JOIN);
        let left = self.outbox.len();
        if left > 0 {
            tracing::warn!(tenants = left, "Redis does not know the newest changes of some tenants: it did not answer");
        }
    }
}

/// A tenant, and what its key is raised to.
type Value = (Arc<str>, String);

fn drive(outbox: &Outbox, raise: &mut dyn FnMut(&[Value]) -> Result<usize, String>) {
    let (mut failures, mut warned, mut warned_of_types) = (0_u32, None::<Instant>, false);
    loop {
        let taken = match outbox.take(MOST, Duration::from_secs(60)) {
            Taken::Some(taken) => taken,
            Taken::Nothing => continue,
            Taken::Closed => return,
        };
        let values: Vec<Value> = taken.iter().map(|(tenant, newest)| (tenant.clone(), iso8601(*newest))).collect();
        match raise(&values) {
            Ok(refused) => {
                outbox.told(values.len(), refused);
                if std::mem::take(&mut failures) > 0 {
                    tracing::info!("Redis takes the newest changes of tenants again");
                }
                if refused > 0 && !std::mem::replace(&mut warned_of_types, true) {
                    tracing::warn!(
                        keys = refused,
                        "keys of tenants hold something else than a text: they are left as they are"
                    );
                }
            }
            Err(error) => {
                outbox.put_back(taken);
                if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
                    warned = Some(Instant::now());
                    tracing::warn!(
                        error,
                        waiting = outbox.len(),
                        "the newest changes of tenants are kept until Redis takes them"
                    );
                }
                if outbox.closed_for().is_some_and(|time| time >= PATIENCE) {
                    return;
                }
                let wait = Duration::from_millis(250 << failures.min(5));
                failures += 1;
                match outbox.closed_for() {
                    // The pause would end at once.
                    Some(_) => std::thread::sleep(Duration::from_millis(250)),
                    None => outbox.pause(wait),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Known;

    #[test]
    fn what_could_not_be_told_is_told_later_and_once_it_is_newer() {
        let metrics = Metrics::new(Known::default());
        let outbox = metrics.outbox();
        outbox.put(&"a".into(), 1_000_000);
        let (mut calls, mut told) = (0, Vec::new());
        drive(&outbox, &mut |values| {
            calls += 1;
            match calls {
                1 => {
                    // Meanwhile a newer one comes.
                    outbox.put(&"a".into(), 2_000_000);
                    Err("away".into())
                }
                _ => {
                    told.extend(values.iter().map(|(tenant, value)| format!("{tenant} {value}")));
                    outbox.close();
                    Ok(0)
                }
            }
        });
        assert_eq!(told, ["a 1970-01-01T00:00:02.000000Z"]);
        let page = metrics.render();
        for line in ["{outcome=\"written\"} 1", "{outcome=\"failed\"} 1"] {
            assert!(page.contains(&format!("highwater_last_sync_values_total{line}\n")), "{page}");
        }
        assert!(page.contains("highwater_last_sync_waiting 0\n"), "{page}");
    }
}
