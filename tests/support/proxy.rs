//! A wire that can be broken: a proxy between clients and one broker that understands Kafka's framing.
//!
//! Rules are set while it runs. A held request also holds what comes behind it on its connection, as a stalled TCP
//! connection does; when its client has long gone the broker's side is still open, and the request arrives late.

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Kafka's numbers of its requests.
pub mod api {
    pub const PRODUCE: i16 = 0;
    pub const FETCH: i16 = 1;
    pub const METADATA: i16 = 3;
    pub const FIND_COORDINATOR: i16 = 10;
    pub const JOIN_GROUP: i16 = 11;
    pub const HEARTBEAT: i16 = 12;
    pub const INIT_PRODUCER_ID: i16 = 22;
    pub const ADD_PARTITIONS_TO_TXN: i16 = 24;
    pub const ADD_OFFSETS_TO_TXN: i16 = 25;
    pub const END_TXN: i16 = 26;
    pub const TXN_OFFSET_COMMIT: i16 = 28;
}

/// A request as it came, without the four bytes of its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub key: i16,
    pub version: i16,
    pub correlation: i32,
    /// Header and body.
    pub bytes: Vec<u8>,
}

/// A request that was recorded or held, and what became of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub request: Request,
    /// It waits in the proxy.
    pub held: bool,
    /// Its client has closed the connection that it came by.
    pub abandoned: bool,
    /// The broker's answer, without the four bytes of its length: correlation id first.
    pub answer: Option<Vec<u8>>,
}

type Choice = Box<dyn FnMut(&Request) -> bool + Send>;

#[derive(Default)]
struct State {
    delay: Duration,
    cut: bool,
    black_hole: bool,
    ended: bool,
    record: Vec<i16>,
    hold: BTreeMap<i16, Choice>,
    drop_answers: BTreeMap<i16, Choice>,
    exchanges: Vec<Exchange>,
    passed: BTreeMap<i16, u64>,
    answered: BTreeMap<i16, u64>,
    connections: Vec<Arc<Connection>>,
}

struct Shared {
    upstream: AtomicU16,
    state: Mutex<State>,
    changed: Condvar,
}

/// One client's connection, and ours to the broker in its name.
struct Connection {
    client: TcpStream,
    broker: TcpStream,
    client_gone: AtomicBool,
    broker_gone: AtomicBool,
    /// Kafka answers in the order of the requests.
    unanswered: Mutex<VecDeque<Pending>>,
}

struct Pending {
    request: Request,
    exchange: Option<usize>,
}

/// Dropping it closes every connection, held requests included.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// Frames that wait on one way of one connection.
const QUEUE: usize = 256;
/// Longer than any request of the tests: what claims to be longer is not Kafka's.
const LONGEST: usize = 200 << 20;

impl Proxy {
    /// Listens on a free port of the loopback; `upstream` is the broker's.
    pub fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", super::broker::free_port())).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared =
            Arc::new(Shared { upstream: AtomicU16::new(upstream), state: Mutex::default(), changed: Condvar::new() });
        let acceptor = {
            let shared = shared.clone();
            thread::spawn(move || accept(&listener, &shared))
        };
        Self { port, shared, acceptor: Some(acceptor) }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For `bootstrap.servers`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// New connections go there.
    pub fn lead_to(&self, upstream: u16) {
        self.shared.upstream.store(upstream, Ordering::SeqCst);
    }

    /// Everything takes so much longer, each way.
    pub fn delay(&self, by: Duration) {
        self.change(|state| state.delay = by);
    }

    /// Closes every connection and refuses new ones. What is held stays: it is on its way already.
    pub fn cut(&self) {
        self.change(|state| {
            state.cut = true;
            state.close_connections();
        });
    }

    /// Closes every connection; new ones are welcome.
    pub fn reset(&self) {
        self.change(State::close_connections);
    }

    /// Connections stay open, and nothing passes.
    pub fn black_hole(&self) {
        self.change(|state| state.black_hole = true);
    }

    /// Ends `delay`, `cut` and `black_hole`. What was stuck in a black hole arrives now.
    pub fn heal(&self) {
        self.change(|state| {
            state.delay = Duration::ZERO;
            state.cut = false;
            state.black_hole = false;
        });
    }

    /// Holds every request of this kind from now on.
    pub fn hold(&self, key: i16) {
        self.hold_where(key, |_| true);
    }

    /// Holds the next request of this kind only.
    pub fn hold_next(&self, key: i16) {
        self.hold_where(key, first(|_| true));
    }

    pub fn hold_where(&self, key: i16, choice: impl FnMut(&Request) -> bool + Send + 'static) {
        self.change(|state| drop(state.hold.insert(key, Box::new(choice))));
    }

    /// Holds no more of this kind; what was held stays so.
    pub fn hold_no_more(&self, key: i16) {
        self.change(|state| drop(state.hold.remove(&key)));
    }

    /// Lets go what is held of this kind, and holds no more of it.
    pub fn release(&self, key: i16) {
        self.change(|state| {
            state.hold.remove(&key);
            let held = state.exchanges.iter_mut().filter(|e| e.request.key == key);
            held.for_each(|e| e.held = false);
        });
    }

    /// Lets the oldest that is held of this kind go, and holds on to the others.
    pub fn release_one(&self, key: i16) {
        self.change(|state| {
            if let Some(oldest) = state.exchanges.iter_mut().find(|e| e.held && e.request.key == key) {
                oldest.held = false;
            }
        });
    }

    /// No rules, no records, no faults; what is held goes.
    pub fn forget(&self) {
        self.change(|state| {
            state.hold.clear();
            state.drop_answers.clear();
            state.record.clear();
            state.exchanges.iter_mut().for_each(|e| e.held = false);
        });
        self.heal();
    }

    /// The broker gets the requests of this kind, the client no answers, until `answer_again`.
    pub fn drop_answers(&self, key: i16) {
        self.drop_answers_where(key, |_| true);
    }

    pub fn drop_next_answer(&self, key: i16) {
        self.drop_answers_where(key, first(|_| true));
    }

    /// `choice` is asked with the request that is answered.
    pub fn drop_answers_where(&self, key: i16, choice: impl FnMut(&Request) -> bool + Send + 'static) {
        self.change(|state| drop(state.drop_answers.insert(key, Box::new(choice))));
    }

    pub fn answer_again(&self, key: i16) {
        self.change(|state| drop(state.drop_answers.remove(&key)));
    }

    /// Keeps the requests of this kind from now on, with their answers.
    pub fn record(&self, key: i16) {
        self.change(|state| state.record.push(key));
    }

    /// What was recorded or held of a kind, in the order of arrival here.
    pub fn exchanges(&self, key: i16) -> Vec<Exchange> {
        self.state().exchanges.iter().filter(|e| e.request.key == key).cloned().collect()
    }

    /// What waits here of a kind.
    pub fn held(&self, key: i16) -> Vec<Exchange> {
        self.exchanges(key).into_iter().filter(|e| e.held).collect()
    }

    /// Delivers a copy of a request on a connection of its own, whatever the rules, and returns the broker's answer.
    pub fn deliver(&self, request: &Request) -> std::io::Result<Vec<u8>> {
        let mut broker = dial(self.shared.upstream.load(Ordering::SeqCst))?;
        broker.set_read_timeout(Some(super::DEADLINE))?;
        write_frame(&mut broker, &request.bytes)?;
        read_frame(&mut broker)
    }

    /// Requests of a kind that the broker was given.
    pub fn passed(&self, key: i16) -> u64 {
        self.state().passed.get(&key).copied().unwrap_or_default()
    }

    /// Answers to requests of a kind that the broker gave, dropped ones included.
    pub fn answered(&self, key: i16) -> u64 {
        self.state().answered.get(&key).copied().unwrap_or_default()
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.state().connections.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.shared.changed.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.change(|state| {
            state.ended = true;
            for connection in &state.connections {
                connection.close();
            }
        });
        // Wakes the acceptor.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

/// Of what `choice` takes, only the first.
pub fn first(mut choice: impl FnMut(&Request) -> bool + Send + 'static) -> impl FnMut(&Request) -> bool + Send {
    let mut taken = false;
    move |request| {
        let take = !taken && choice(request);
        taken |= take;
        take
    }
}

impl State {
    fn close_connections(&mut self) {
        for connection in &self.connections {
            let _ = connection.client.shutdown(Shutdown::Both);
            let queue = connection.unanswered.lock().unwrap_or_else(PoisonError::into_inner);
            let holds = queue.iter().any(|p| p.exchange.is_some_and(|e| self.exchanges[e].held));
            if !holds {
                let _ = connection.broker.shutdown(Shutdown::Both);
            }
        }
    }

    /// Notes a request; the index of its exchange where it is recorded or held.
    fn note(&mut self, request: &Request) -> Option<usize> {
        let held = self.hold.get_mut(&request.key).is_some_and(|choice| choice(request));
        if !held && !self.record.contains(&request.key) {
            return None;
        }
        self.exchanges.push(Exchange { request: request.clone(), held, abandoned: false, answer: None });
        Some(self.exchanges.len() - 1)
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a frame that came at `arrived` may pass; false when the proxy ends.
    fn pass(&self, arrived: Instant, exchange: Option<usize>) -> bool {
        let mut state = self.state();
        loop {
            if state.ended {
                return false;
            }
            let due = arrived + state.delay;
            let held = exchange.is_some_and(|e| state.exchanges[e].held);
            if held || state.black_hole {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Connection {
    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.broker.shutdown(Shutdown::Both);
    }

    fn unanswered(&self) -> MutexGuard<'_, VecDeque<Pending>> {
        self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        if shared.state().ended {
            return;
        }
        let Ok(client) = client else { continue };
        let shared = shared.clone();
        // A stopped broker takes its time: others need not wait for it.
        thread::spawn(move || connect(client, &shared));
    }
}

fn dial(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_secs(10))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Without a broker the client's connection is closed at once.
fn connect(client: TcpStream, shared: &Arc<Shared>) {
    if shared.state().cut {
        return;
    }
    let Ok(broker) = dial(shared.upstream.load(Ordering::SeqCst)) else { return };
    let _ = client.set_nodelay(true);
    let streams = (client.try_clone(), broker.try_clone(), client.try_clone(), broker.try_clone());
    let (Ok(client_in), Ok(broker_out), Ok(client_out), Ok(broker_in)) = streams else { return };
    let connection = Arc::new(Connection {
        client,
        broker,
        client_gone: AtomicBool::new(false),
        broker_gone: AtomicBool::new(false),
        unanswered: Mutex::default(),
    });
    {
        let mut state = shared.state();
        if state.cut || state.ended {
            return connection.close();
        }
        state.connections.push(connection.clone());
    }
    let (requests, to_broker) = sync_channel(QUEUE);
    let (answers, to_client) = sync_channel(QUEUE);
    let of = |connection: &Arc<Connection>| (connection.clone(), shared.clone());
    let (c, s) = of(&connection);
    thread::spawn(move || take_requests(client_in, &c, &s, &requests));
    let (c, s) = of(&connection);
    thread::spawn(move || give_requests(broker_out, &c, &s, &to_broker));
    let (c, s) = of(&connection);
    thread::spawn(move || take_answers(broker_in, &c, &s, &answers));
    give_answers(client_out, &connection, shared, &to_client);
    // The client may be gone long before the last answer, and the broker before the last request was released.
    connection.close();
    shared.state().connections.retain(|other| !Arc::ptr_eq(other, &connection));
}

/// A frame and when it came.
type Frame = (Vec<u8>, Instant, Option<usize>);

fn take_requests(mut client: TcpStream, connection: &Connection, shared: &Shared, to: &SyncSender<Frame>) {
    while let Ok(bytes) = read_frame(&mut client) {
        let Some(request) = Request::parse(bytes) else { break };
        let bytes = request.bytes.clone();
        let mut state = shared.state();
        let exchange = state.note(&request);
        connection.unanswered().push_back(Pending { request, exchange });
        drop(state);
        shared.changed.notify_all();
        if to.send((bytes, Instant::now(), exchange)).is_err() {
            break;
        }
    }
    connection.client_gone.store(true, Ordering::SeqCst);
    let mut state = shared.state();
    for index in connection.unanswered().iter().filter_map(|p| p.exchange) {
        state.exchanges[index].abandoned = true;
    }
    drop(state);
    shared.changed.notify_all();
    if connection.unanswered().is_empty() {
        connection.close();
    }
}

fn give_requests(mut broker: TcpStream, connection: &Connection, shared: &Shared, from: &Receiver<Frame>) {
    for (bytes, arrived, exchange) in from {
        if !shared.pass(arrived, exchange) {
            break;
        }
        // Counted first: who waits for the count may then wait for the answer.
        let key = i16::from_be_bytes([bytes[0], bytes[1]]);
        *shared.state().passed.entry(key).or_default() += 1;
        if connection.broker_gone.load(Ordering::SeqCst) || write_frame(&mut broker, &bytes).is_err() {
            break;
        }
    }
    // The last answers are still to come, from a client that closed: whoever reads them closes.
}

fn take_answers(mut broker: TcpStream, connection: &Connection, shared: &Shared, to: &SyncSender<Frame>) {
    while let Ok(bytes) = read_frame(&mut broker) {
        let pending = connection.unanswered().pop_front();
        let Some(Pending { request, exchange }) = pending else { break };
        assert_eq!(bytes[..4], request.correlation.to_be_bytes(), "answers come in the order of the requests");
        let mut state = shared.state();
        *state.answered.entry(request.key).or_default() += 1;
        if let Some(index) = exchange {
            state.exchanges[index].answer = Some(bytes.clone());
        }
        let dropped = state.drop_answers.get_mut(&request.key).is_some_and(|choice| choice(&request));
        drop(state);
        shared.changed.notify_all();
        let gone = connection.client_gone.load(Ordering::SeqCst);
        if gone && connection.unanswered().is_empty() {
            break;
        }
        if !dropped && !gone && to.send((bytes, Instant::now(), None)).is_err() {
            // Nobody listens: the rest is read for the record.
            continue;
        }
    }
    connection.broker_gone.store(true, Ordering::SeqCst);
}

fn give_answers(mut client: TcpStream, connection: &Connection, shared: &Shared, from: &Receiver<Frame>) {
    for (bytes, arrived, _) in from {
        if !shared.pass(arrived, None) {
            return;
        }
        if write_frame(&mut client, &bytes).is_err() {
            connection.client_gone.store(true, Ordering::SeqCst);
        }
    }
}

impl Request {
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let (key, version) = (bytes.get(..2)?, bytes.get(2..4)?);
        let correlation = bytes.get(4..8)?;
        Some(Self {
            key: i16::from_be_bytes(key.try_into().ok()?),
            version: i16::from_be_bytes(version.try_into().ok()?),
            correlation: i32::from_be_bytes(correlation.try_into().ok()?),
            bytes,
        })
    }
}

fn read_frame(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn write_frame(to: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut frame = Vec::with_capacity(bytes.len() + 4);
    frame.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    frame.extend_from_slice(bytes);
    to.write_all(&frame)
}
