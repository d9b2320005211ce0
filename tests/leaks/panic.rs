//! A worker that panics with a record in its hands: neither the panic's text, nor its backtrace, nor what the engine says of
//! it holds a value.

use std::sync::{Arc, Mutex};

use highwater::cli::leaks::{Kind, Search, Searcher, Values};
use highwater::engine::instance::Instance;
use highwater::log::around::{Around, ProducerAround};
use highwater::log::{
    Admin, Appender, Client, GroupConsumer, Isolation, Log, Outgoing, Producer, Reader, Result, Sent,
};
use highwater::topology::{Mode, Topology};

use crate::canaries::{lines, with_secret};
use crate::embedded::{append, create_topics, deployment, open};
use crate::support::Dir;
use crate::support::bad::RULES;
use crate::support::changes::SECRET;

/// A log whose producer breaks at the hundredth record.
struct Breaking(Arc<dyn Log>);

struct Broken {
    producer: Box<dyn Producer>,
    sent: usize,
}

impl ProducerAround for Broken {
    fn inner(&self) -> &dyn Producer {
        &*self.producer
    }

    fn inner_mut(&mut self) -> &mut dyn Producer {
        &mut *self.producer
    }

    fn send(&mut self, record: &Outgoing<'_>) -> Result<Sent> {
        self.sent += 1;
        let records: [u8; 100] = [0; 100];
        // As a bug of ours would: out of bounds, in the middle of a record.
        let _ = std::hint::black_box(&records)[self.sent];
        self.producer.send(record)
    }
}

impl Log for Breaking {
    fn admin(&self) -> &dyn Admin {
        self.0.admin()
    }

    fn group_consumer(&self, worker: usize) -> Result<Box<dyn GroupConsumer>> {
        self.0.group_consumer(worker)
    }

    fn producer(&self, transactional_id: &str) -> Result<Box<dyn Producer>> {
        Ok(Box::new(Around(Broken { producer: self.0.producer(transactional_id)?, sent: 0 })))
    }

    fn appender(&self) -> Result<Box<dyn Appender>> {
        self.0.appender()
    }

    fn reader(&self, worker: usize, isolation: Isolation) -> Result<Box<dyn Reader>> {
        self.0.reader(worker, isolation)
    }

    fn as_client(&self, client: Client) -> Result<Arc<dyn Log>> {
        Ok(Arc::new(Breaking(self.0.as_client(client)?)))
    }
}

#[test]
fn a_panic_tells_nothing_of_the_record_in_hand() {
    let dir = Dir::new("leaks-panic");
    std::fs::write(dir.join("rules.yaml"), RULES).expect("the rules");
    std::fs::write(dir.join("topology.yaml"), deployment()).expect("a topology");
    let log = open(dir.path());
    create_topics(&log);
    append(&log, &lines(1));
    let env = |name: &str| (name == "SALT").then(|| SECRET.to_string());
    let mut topology =
        Topology::load(&dir.join("topology.yaml"), Mode::Run, &env).unwrap_or_else(|e| panic!("{e}")).topology;
    topology.state.path = dir.join("state");
    topology.http = None;

    let told = Arc::new(Mutex::new(String::new()));
    let (into, before) = (told.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::force_capture();
        into.lock().unwrap().push_str(&format!("{panic}\n{panic:?}\n{trace}\n{trace:?}\n"));
        before(panic);
    }));
    let connect = |_: &Topology, client| Ok(Arc::new(Breaking(log.as_client(client)?)) as Arc<dyn Log>);
    let instance = Instance::start_on(topology, connect, &|| false).expect("an instance").expect("not stopped");
    let metrics = instance.metrics();
    let error = instance.run(&|| false).expect_err("a worker that panicked");
    let _ = std::panic::take_hook();

    let told = told.lock().unwrap().clone();
    assert!(told.contains("index out of bounds") && told.contains("engine/task.rs"), "{told}");
    assert!(error.to_string().contains("a worker panicked"), "{error}");
    let searcher = Searcher::new(&Values::of(&with_secret()).expect("values")).expect("a searcher");
    let mut search = Search::new(&searcher);
    search.text(Kind::Page, "the panic", told.as_bytes());
    search.text(Kind::Page, "the error", format!("{error}{error:?}").as_bytes());
    search.text(Kind::Page, "the metrics", metrics.render().as_bytes());
    search.files(&dir.join("state"), &|_| None).expect("stores");
    assert!(search.hits.is_empty(), "{:#?}", search.hits.values().collect::<Vec<_>>());
}
