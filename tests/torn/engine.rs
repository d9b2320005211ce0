//! `highwater run` behind the proxy: whatever comes late, every change leaves once.

use std::collections::BTreeMap;

use crate::end::{ends, is_fenced, of_id, verdict};
use crate::support::changes::{self, assert_equal, by_key, truth};
use crate::support::proxy::{api, first};
use crate::support::topics::Isolation;
use crate::support::{DEADLINE, Dir, Highwater, Line, wait_until};
use crate::world::{World, on_each_version};

const SECRET: &str = "a secret of the tests";
const PARTITIONS: i32 = 2;

struct Run<'a> {
    world: &'a World,
    name: String,
    source: String,
    target: String,
    dir: Dir,
    changes: Vec<Line>,
    highwater: Option<Highwater>,
}

impl<'a> Run<'a> {
    fn start(world: &'a World, name: &str, commit_interval: &str) -> Self {
        let name = world.name(name);
        let (source, target) = (format!("{name}.cdc.public.customers"), format!("{name}.out"));
        world.broker.create_topic(&source, PARTITIONS, &[]);
        world.broker.create_topic(&target, PARTITIONS, &[]);
        let dir = Dir::new(&name);
        let changes = changes::lines(&source, PARTITIONS, 200, 3000);
        // One worker: the late request is one of the only transactional id.
        let topology = format!(
            "application: {name}\nkafka:\n  bootstrap.servers: '${{BROKERS}}'\n  session.timeout.ms: 4000\n  \
             heartbeat.interval.ms: 300\n  socket.timeout.ms: 2000\ncommit_interval: {commit_interval}\nthreads: 1\n\
             transaction_timeout: 60s\nsecrets: {{ pii: '${{SALT}}' }}\nstreams:\n  customers:\n    from: {source}\n    \
             steps: [dedup, {{ mask: {{ fields: {{ email: hash, full_name: truncate }} }} }}]\n    to: {target}\n"
        );
        std::fs::write(dir.join("topology.yaml"), topology).expect("a topology");
        let mut run = Self { world, name, source, target, dir, changes, highwater: None };
        run.begin();
        run
    }

    fn begin(&mut self) {
        let address = self.world.proxy.address();
        let env = [("BROKERS", address.as_str()), ("SALT", SECRET), ("HIGHWATER_LOG", "info")];
        self.highwater = Some(Highwater::command(&["run", "-f", "topology.yaml"], &env, self.dir.path()));
    }

    fn highwater(&mut self) -> &mut Highwater {
        self.highwater.as_mut().expect("it runs")
    }

    fn happens(&mut self, late: Late) {
        match late {
            Late::TimedOut => {}
            Late::ConnectionLost => self.world.proxy.reset(),
            Late::Killed => {
                self.highwater().sigkill();
                self.begin();
            }
        }
    }

    fn stop(&mut self) {
        self.highwater().sigterm();
        let mut highwater = self.highwater.take().expect("it runs");
        assert!(highwater.wait(DEADLINE).success(), "{}", highwater.log());
    }

    /// A part of the changes, in tenths.
    fn produce(&self, tenths: std::ops::Range<usize>) {
        let tenth = self.changes.len() / 10;
        self.world.broker.produce(&self.changes[tenths.start * tenth..tenths.end * tenth]);
    }

    fn wait_until_processed(&mut self) {
        let ends: BTreeMap<i32, i64> = self.world.broker.end_offsets(&self.source);
        wait_until(DEADLINE, &format!("{} at {ends:?}", self.name), || {
            if let Some(status) = self.highwater().ended() {
                panic!("it ended with {status}: {}", self.highwater().log());
            }
            (self.world.broker.committed(&self.name, &self.source) == ends).then_some(())
        });
    }

    fn wait_for_open_transaction(&self) {
        wait_until(DEADLINE, "an open transaction", || {
            (self.world.broker.stable_offsets(&self.target) < self.world.broker.end_offsets(&self.target)).then_some(())
        });
    }

    /// The late request arrives while the offsets of a later transaction are held back: so far all of it are rows.
    fn is_refused(&self) {
        self.wait_for_open_transaction();
        let before = self.world.broker.stable_offsets(&self.target);
        let (_, exchange) = self.world.ends(&self.name).swap_remove(0);
        assert!(exchange.held && exchange.abandoned, "{exchange:?}");
        self.world.proxy.release_one(api::END_TXN);
        let answer = wait_until(DEADLINE, "the answer to the late request", || {
            self.world.ends(&self.name).swap_remove(0).1.answer
        });
        let verdict = verdict(&answer);
        assert!(is_fenced(verdict), "transaction.version {}: {verdict}", self.world.version);
        // All that came before, once more.
        for (_, exchange) in self.world.ends(&self.name).into_iter().filter(|(_, e)| !e.held) {
            self.world.proxy.deliver(&exchange.request).expect("an answer");
        }
        assert_eq!(self.world.broker.stable_offsets(&self.target), before, "the later transaction is open");
        self.world.proxy.release(api::ADD_OFFSETS_TO_TXN);
    }

    /// Output, committed offsets and, over a restore, the changelog against the truth.
    fn judge(&mut self) {
        self.wait_until_processed();
        self.stop();
        let (broker, target) = (&self.world.broker, self.target.clone());
        let truth = truth(broker.read_all(&self.source, Isolation::Committed), SECRET);
        let rows = || by_key(broker.read_all(&target, Isolation::Committed));
        assert_equal(&rows(), &truth, &format!("transaction.version {}", self.world.version));
        std::fs::remove_dir_all(self.dir.join("state")).expect("a state directory");
        self.produce(0..10);
        self.begin();
        self.wait_until_processed();
        self.stop();
        let what = format!("transaction.version {}, all once more, over restored stores", self.world.version);
        assert_equal(&rows(), &truth, &what);
    }
}

/// How a request comes to be late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Late {
    TimedOut,
    ConnectionLost,
    Killed,
}

fn a_late_commit_is_refused(world: &World, name: &str, late: Late) {
    let mut run = Run::start(world, name, "200ms");
    run.produce(0..3);
    run.wait_until_processed();
    world.proxy.hold_where(api::END_TXN, first(ends(&run.name, true)));
    run.produce(3..5);
    wait_until(DEADLINE, "a commit on its way", || world.ends(&run.name).pop().filter(|(_, e)| e.held));
    run.happens(late);
    run.wait_until_processed();
    world.proxy.record(api::END_TXN);
    world.proxy.hold_where(api::ADD_OFFSETS_TO_TXN, of_id(&run.name));
    run.produce(5..10);
    run.is_refused();
    run.judge();
}

fn a_late_abort_is_refused(world: &World, name: &str, late: Late) {
    let mut run = Run::start(world, name, "15s");
    run.produce(0..1);
    run.wait_until_processed();
    world.proxy.hold_where(api::END_TXN, first(ends(&run.name, false)));
    run.produce(1..5);
    run.wait_for_open_transaction();
    let first_of_it = world.broker.stable_offsets(&run.target);
    // Without heartbeats the partitions are lost, and with them the transaction.
    world.proxy.hold_where(api::HEARTBEAT, of_id(&run.name));
    wait_until(DEADLINE, "an abort on its way", || world.ends(&run.name).pop().filter(|(_, e)| e.held));
    world.proxy.release(api::HEARTBEAT);
    run.happens(late);
    world.proxy.hold_where(api::ADD_OFFSETS_TO_TXN, of_id(&run.name));
    run.produce(5..10);
    // What is open may be what the late abort is about, until the abort that was sent again has ended it.
    wait_until(DEADLINE, "the end of the first transaction", || {
        (world.broker.stable_offsets(&run.target) != first_of_it).then_some(())
    });
    run.is_refused();
    run.judge();
}

#[test]
fn a_commit_that_times_out_and_arrives_later_ends_nothing() {
    on_each_version(|world| a_late_commit_is_refused(world, "run-commit-timed-out", Late::TimedOut));
}

#[test]
fn a_commit_that_loses_its_connection_and_arrives_later_ends_nothing() {
    on_each_version(|world| a_late_commit_is_refused(world, "run-commit-cut", Late::ConnectionLost));
}

#[test]
fn a_commit_of_a_killed_process_that_arrives_later_ends_nothing() {
    on_each_version(|world| a_late_commit_is_refused(world, "run-commit-killed", Late::Killed));
}

#[test]
fn an_abort_that_times_out_and_arrives_later_ends_nothing() {
    on_each_version(|world| a_late_abort_is_refused(world, "run-abort-timed-out", Late::TimedOut));
}

#[test]
fn an_abort_that_loses_its_connection_and_arrives_later_ends_nothing() {
    on_each_version(|world| a_late_abort_is_refused(world, "run-abort-cut", Late::ConnectionLost));
}
