//! One drain of a preloaded topic by one contestant, from the start of its process to its last row.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::contestant::{Contestant, Job};
use crate::digest::Rows;
use crate::support::Broker;
use crate::support::signal::{self, Leash};
use crate::support::topics::config;
use crate::{machine, topic};

/// A share of the machine that others may take from a run; one where they took more is void.
const FOREIGN: f64 = 0.06;
/// So often a run is asked how far it is: one request.
const ASKED_EVERY: Duration = Duration::from_millis(25);
const LONGEST: Duration = Duration::from_secs(480);

/// A contestant's process, in a group of its own. Killed when dropped, and when this process dies.
pub struct Running {
    pub child: Child,
    _leash: Leash,
}

impl Running {
    pub fn start(mut command: Command, job: &Job) -> Self {
        let log = File::options().create(true).append(true).open(job.log()).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let leash = Leash::on(child.id());
        Self { child, _leash: leash }
    }

    /// The contestant's own command, on a job that is prepared.
    pub fn on(broker: &Broker, contestant: Contestant, job: &Job) -> Self {
        Self::start(contestant.command(broker, job), job)
    }

    pub fn cpu(&self) -> f64 {
        machine::cpu(self.child.id())
    }

    /// Panics where it has ended by itself.
    pub fn check(&mut self, job: &Job) {
        if let Some(status) = self.child.try_wait().expect("a child") {
            let log = std::fs::read_to_string(job.log()).unwrap_or_default();
            panic!("{} ended with {status}; its log:\n{log}", job.name);
        }
    }

    pub fn signal(&self, name: &str) {
        signal::send(name, -i64::from(self.child.id()));
    }

    /// SIGKILL. Returns when it is gone.
    pub fn kill(mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
    }

    /// SIGTERM, and SIGKILL where that does not end it.
    pub fn stop(mut self) {
        self.signal("TERM");
        let asked = Instant::now();
        while self.child.try_wait().expect("a child").is_none() && asked.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.signal("KILL");
            let _ = self.child.wait();
        }
    }
}

/// How far a job has come, by what it has committed.
pub struct Progress {
    client: BaseConsumer,
    asked: TopicPartitionList,
    ends: Vec<i64>,
}

impl Progress {
    pub fn of(broker: &Broker, job: &Job) -> Self {
        let mut config = config(&broker.bootstrap());
        // What is committed, without waiting for what is not yet.
        config.set("group.id", &job.name).set("isolation.level", "read_uncommitted");
        let mut asked = TopicPartitionList::new();
        for partition in 0..job.partitions {
            asked.add_partition(&job.source, partition);
        }
        let ends = broker.end_offsets(&job.source).into_values().collect();
        Self { client: config.create().expect("a consumer"), asked, ends }
    }

    /// Records up to the committed offsets.
    pub fn committed(&self) -> i64 {
        let Ok(answer) = self.client.committed_offsets(self.asked.clone(), Duration::from_secs(10)) else { return 0 };
        let offsets = answer.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        });
        offsets.sum()
    }

    /// Records that were there when this was made, and are not committed.
    pub fn behind(&self) -> i64 {
        self.ends.iter().sum::<i64>() - self.committed()
    }

    pub fn is_at_end(&self) -> bool {
        self.behind() <= 0
    }
}

/// What a run was.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    pub seconds: f64,
    /// Seconds of user and system time: of the contestant, of the broker, of everybody else on the machine.
    pub cpu: f64,
    pub broker_cpu: f64,
    pub foreign_cpu: f64,
    pub megabytes: f64,
    pub files: usize,
    pub rows: Rows,
}

impl Run {
    pub fn is_void(&self) -> bool {
        self.foreign_cpu > FOREIGN * self.seconds * machine::cores()
    }

    /// For the terminal.
    pub fn line(&self, name: &str) -> String {
        let void = if self.is_void() { ": void, others were busy" } else { "" };
        format!(
            "{name:24}{:8.2} s{:8.2} s of CPU{:8.2} s of the broker's{:8.2} s of others'{:6.0} MB{void}",
            self.seconds, self.cpu, self.broker_cpu, self.foreign_cpu, self.megabytes
        )
    }
}

/// Waits, a minute at most, until the machine has little else to do.
fn wait_for_quiet() {
    for _ in 0..30 {
        let before = machine::busy();
        std::thread::sleep(Duration::from_secs(2));
        if machine::busy() - before < FOREIGN * 2.0 * machine::cores() {
            return;
        }
    }
}

/// Starts a contestant, in so many instances as there are jobs, and waits until all of the source is committed and its rows
/// are visible. The rows are not read yet.
pub fn measure(broker: &Broker, contestant: Contestant, jobs: &[Job]) -> (Run, Vec<Running>) {
    let job = &jobs[0];
    let progress = Progress::of(broker, job);
    let commands: Vec<Command> = jobs.iter().map(|job| contestant.command(broker, job)).collect();
    wait_for_quiet();
    let counters = || (machine::busy(), machine::cpu(broker.id()), machine::own_cpu());
    let before = counters();
    let begun = Instant::now();
    let mut running: Vec<Running> = commands.into_iter().zip(jobs).map(|(c, job)| Running::start(c, job)).collect();
    // The offsets are committed with the rows; their markers may still be on their way to the rows' partitions.
    while !progress.is_at_end() || broker.stable_offsets(&job.target()) != broker.end_offsets(&job.target()) {
        running.iter_mut().zip(jobs).for_each(|(one, job)| one.check(job));
        assert!(begun.elapsed() < LONGEST, "{} is not done after {LONGEST:?}", job.name);
        std::thread::sleep(ASKED_EVERY);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let ids: Vec<u32> = running.iter().map(|one| one.child.id()).collect();
    let cpu = ids.iter().map(|id| machine::cpu(*id)).sum();
    let now = counters();
    let (busy, broker_cpu, own) = (now.0 - before.0, now.1 - before.1, now.2 - before.2);
    let run = Run {
        seconds,
        cpu,
        broker_cpu,
        foreign_cpu: (busy - cpu - broker_cpu - own).max(0.0),
        megabytes: ids.iter().map(|id| machine::peak_megabytes(*id)).sum(),
        files: ids.iter().map(|id| machine::open_files(*id)).sum(),
        rows: Rows::default(),
    };
    (run, running)
}

/// The same on new topics, and what came out.
pub fn drain(broker: &Broker, contestant: Contestant, jobs: &[Job]) -> Run {
    contestant.prepare(broker, &jobs[0]);
    let (mut run, running) = measure(broker, contestant, jobs);
    running.into_iter().for_each(Running::stop);
    run.rows = topic::read(broker, &jobs[0].target(), &BTreeMap::new());
    contestant.remove(broker, &jobs[0]);
    let _ = std::fs::remove_dir_all(&jobs[0].dir);
    run
}

/// Drains in turn A B C A B C …, void runs again, and every answer compared with the right one.
pub struct Turns<'a> {
    pub broker: &'a Broker,
    pub rounds: usize,
    /// The right answer.
    pub right: Rows,
}

/// Attempts at a run; the last one counts, void or not, and the report says so.
const TRIES: usize = 4;

impl Turns<'_> {
    /// Each contestant's runs. `job` names a run's source and what differs from the usual.
    pub fn run(&self, contestants: &[Contestant], job: impl Fn(String) -> Job) -> Vec<Vec<Run>> {
        let mut runs = vec![Vec::new(); contestants.len()];
        for round in 1..=self.rounds {
            for (index, &contestant) in contestants.iter().enumerate() {
                runs[index].push(self.valid(contestant, |n| vec![job(format!("{}-{round}-{n}", contestant.word()))]));
            }
        }
        runs
    }

    /// The first run that is not void.
    pub fn valid(&self, contestant: Contestant, jobs: impl Fn(usize) -> Vec<Job>) -> Run {
        let mut run = self.attempt(contestant, &jobs(1));
        for attempt in 2..=TRIES {
            if run.is_void() {
                run = self.attempt(contestant, &jobs(attempt));
            }
        }
        run
    }

    /// One run, valid or not.
    pub fn attempt(&self, contestant: Contestant, jobs: &[Job]) -> Run {
        let run = drain(self.broker, contestant, jobs);
        self.right.check(&run.rows, &jobs[0].name);
        println!("{}", run.line(&jobs[0].name));
        run
    }
}
