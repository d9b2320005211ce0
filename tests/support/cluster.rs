//! A real Kafka cluster of three brokers, each a controller too: every topic on all of them, two of which must take a
//! write.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::ops::Deref;
use std::path::PathBuf;

use super::broker::{Server, free_port};
use super::topics::Clients;
use super::{DEADLINE, Dir, wait_until};

pub const NODES: usize = 3;

/// What a cluster on a small machine needs beyond what `tools/kafka-broker` sets.
const PROPERTIES: &str = "\
default.replication.factor=3
min.insync.replicas=2
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
transaction.state.log.num.partitions=6
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
inter.broker.listener.name=PLAINTEXT
# A machine that is busy must not make brokers and controllers take one another for dead.
broker.session.timeout.ms=6000
controller.quorum.election.timeout.ms=2000
controller.quorum.fetch.timeout.ms=5000
controller.quorum.request.timeout.ms=5000
num.network.threads=2
num.io.threads=2
background.threads=2
num.recovery.threads.per.data.dir=2
";

/// Dropping it kills the brokers and removes their data.
pub struct Cluster {
    // Before their directory: fields drop in this order.
    servers: Vec<Server>,
    dir: Dir,
    clients: Clients,
}

impl Cluster {
    /// Three brokers that answer. Each has a listener more for every lane: a way to it of its own, which it makes known
    /// to those who come by it under the port that `advertise(lane, node, port)` names. Proxies stand there.
    pub fn start(lanes: usize, mut advertise: impl FnMut(usize, usize, u16) -> u16) -> Self {
        // Ports that were free a moment ago may be taken: others, then.
        for attempt in 0.. {
            match Self::attempt(lanes, &mut advertise) {
                Ok(cluster) => return cluster,
                Err(why) if attempt < 4 => eprintln!("once more with other ports: {why}"),
                Err(why) => panic!("{why}"),
            }
        }
        unreachable!("the loop returns or panics")
    }

    fn attempt(lanes: usize, advertise: &mut dyn FnMut(usize, usize, u16) -> u16) -> Result<Self, String> {
        let mut ports = Ports::default();
        let (plain, controllers) = ([(); NODES].map(|()| ports.take()), [(); NODES].map(|()| ports.take()));
        let voters: Vec<String> =
            controllers.iter().zip(1..).map(|(port, id)| format!("{id}@127.0.0.1:{port}")).collect();
        let (dir, id) = (Dir::new("cluster"), cluster_id());
        let mut servers = Vec::new();
        for (node, (&plain, &controller)) in plain.iter().zip(&controllers).enumerate() {
            let mut named = vec![("PLAINTEXT".to_owned(), plain, plain)];
            for lane in 0..lanes {
                let port = ports.take();
                named.push((format!("LANE{lane}"), port, advertise(lane, node, port)));
            }
            let list = |of: &dyn Fn(&(String, u16, u16)) -> String| named.iter().map(of).collect::<Vec<_>>().join(",");
            let (listeners, advertised) =
                (list(&|(name, at, _)| address(name, *at)), list(&|(name, _, known)| address(name, *known)));
            let protocols = list(&|(name, ..)| format!("{name}:PLAINTEXT"));
            let text = format!(
                "{PROPERTIES}node.id={}\ncontroller.quorum.voters={}\nlisteners={listeners},{}\n\
                 advertised.listeners={advertised}\nlistener.security.protocol.map={protocols},CONTROLLER:PLAINTEXT\n",
                node + 1,
                voters.join(","),
                address("CONTROLLER", controller),
            );
            let home = dir.join(&node.to_string());
            let file = dir.join(&format!("{node}.properties"));
            fs::create_dir_all(&home).and_then(|()| fs::write(&file, text)).map_err(|e| e.to_string())?;
            let env = vec![("KAFKA_CLUSTER_ID", id.clone()), ("KAFKA_HEAP", "256m".into())];
            let arguments = vec!["--properties".to_owned(), file.display().to_string()];
            servers.push(Server::new(plain, &home).with(arguments, env));
        }
        servers.iter_mut().try_for_each(Server::start)?;
        servers.iter_mut().try_for_each(Server::wait)?;
        let bootstrap: Vec<String> = plain.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let cluster = Self { servers, dir, clients: Clients::of(bootstrap.join(","), NODES as i32) };
        wait_until(DEADLINE, "three brokers that know each other", || cluster.in_sync().then_some(()));
        Ok(cluster)
    }

    /// The ports of the brokers, past the lanes.
    pub fn ports(&self) -> Vec<u16> {
        self.servers.iter().map(|server| server.port).collect()
    }

    pub fn runs(&self, node: usize) -> bool {
        self.servers[node].runs()
    }

    /// SIGKILL. Returns when the process is gone.
    pub fn kill(&mut self, node: usize) {
        self.servers[node].kill();
    }

    /// Starts it again on its ports and data, and does not wait.
    pub fn restart(&mut self, node: usize) {
        self.servers[node].kill();
        self.servers[node].start().unwrap_or_else(|why| panic!("{why}; see {}", self.dir.path().display()));
    }

    /// Every broker is there, and has every partition.
    pub fn in_sync(&self) -> bool {
        self.servers.iter().all(Server::runs) && self.replicated(NODES)
    }

    /// Where a broker keeps its partitions.
    pub fn data(&self, node: usize) -> PathBuf {
        self.dir.join(&node.to_string()).join("data")
    }

    pub fn dir(&self) -> &Dir {
        &self.dir
    }
}

impl Deref for Cluster {
    type Target = Clients;

    fn deref(&self) -> &Clients {
        &self.clients
    }
}

fn address(name: &str, port: u16) -> String {
    format!("{name}://127.0.0.1:{port}")
}

fn cluster_id() -> String {
    // Sixteen bytes in base64: 22 letters, of which the last holds two bits.
    let random = |salt: u32| RandomState::new().hash_one(salt);
    format!("{:016x}{:05x}A", random(0), random(1) % (1 << 20))
}

/// Ports that are free, none of them twice.
#[derive(Default)]
struct Ports(BTreeSet<u16>);

impl Ports {
    fn take(&mut self) -> u16 {
        loop {
            let port = free_port();
            if self.0.insert(port) {
                return port;
            }
        }
    }
}
