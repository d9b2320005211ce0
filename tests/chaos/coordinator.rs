//! Requests to coordinators that the client library does not make, or not so that a broker which is gone holds nobody up:
//! who coordinates, how a transaction stands, who is in a group.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const FIND_COORDINATOR: (i16, i16) = (10, 4);
const DESCRIBE_TRANSACTIONS: (i16, i16) = (65, 0);
const DESCRIBE_GROUPS: (i16, i16) = (15, 5);
const WAIT: Duration = Duration::from_secs(2);

/// What the coordinator knows of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// "Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort".
    pub state: String,
    pub producer: i64,
    pub epoch: i16,
    /// The broker that coordinates it, counted from zero.
    pub node: usize,
}

impl Transaction {
    /// Begun, and its end not yet asked for.
    pub fn is_open(&self) -> bool {
        self.state == "Ongoing"
    }
}

/// What the coordinator knows of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// "Stable", "PreparingRebalance", "CompletingRebalance", "Empty", "Dead".
    pub state: String,
    /// Each begins with what its client calls itself.
    pub members: Vec<String>,
}

/// One connection to each broker, made when it is needed.
pub struct Coordinators {
    ports: Vec<u16>,
    connections: Vec<Option<TcpStream>>,
}

impl Coordinators {
    pub fn new(ports: Vec<u16>) -> Self {
        let connections = ports.iter().map(|_| None).collect();
        Self { ports, connections }
    }

    /// The transactions of these ids, of those whose coordinator answers.
    pub fn transactions(&mut self, ids: &[String]) -> BTreeMap<String, Transaction> {
        let mut body = Vec::new();
        length(&mut body, ids.len());
        ids.iter().for_each(|id| text(&mut body, id));
        body.push(0);
        let mut found = BTreeMap::new();
        for node in 0..self.ports.len() {
            let Ok(answer) = self.ask(node, DESCRIBE_TRANSACTIONS, &body) else { continue };
            read_transactions(&mut Answer(&answer), node, &mut found).expect("a whole answer");
        }
        found
    }

    /// The broker that coordinates a consumer group, counted from zero.
    pub fn of_group(&mut self, group: &str) -> Option<usize> {
        let mut body = vec![0];
        length(&mut body, 1);
        text(&mut body, group);
        body.push(0);
        (0..self.ports.len()).find_map(|node| {
            let answer = self.ask(node, FIND_COORDINATOR, &body).ok()?;
            read_coordinator(&mut Answer(&answer)).expect("a whole answer")
        })
    }

    /// None while no coordinator of it answers.
    pub fn group(&mut self, group: &str) -> Option<Group> {
        let mut body = Vec::new();
        length(&mut body, 1);
        text(&mut body, group);
        body.extend([0, 0]);
        (0..self.ports.len()).find_map(|node| {
            let answer = self.ask(node, DESCRIBE_GROUPS, &body).ok()?;
            read_group(&mut Answer(&answer)).expect("a whole answer")
        })
    }

    fn ask(&mut self, node: usize, request: (i16, i16), body: &[u8]) -> Result<Vec<u8>> {
        let answer = self.ask_once(node, request, body).or_else(|_| {
            // It may have been another process that listened there.
            self.connections[node] = None;
            self.ask_once(node, request, body)
        });
        if answer.is_err() {
            self.connections[node] = None;
        }
        answer
    }

    fn ask_once(&mut self, node: usize, (key, version): (i16, i16), body: &[u8]) -> Result<Vec<u8>> {
        let stream = match &mut self.connections[node] {
            Some(stream) => stream,
            empty => {
                let address = SocketAddr::from(([127, 0, 0, 1], self.ports[node]));
                let stream = TcpStream::connect_timeout(&address, WAIT)?;
                stream.set_read_timeout(Some(WAIT))?;
                stream.set_nodelay(true)?;
                empty.insert(stream)
            }
        };
        // Key, version, correlation id, no client id, no tags.
        let mut request = Vec::new();
        request.extend(key.to_be_bytes());
        request.extend(version.to_be_bytes());
        request.extend(7_i32.to_be_bytes());
        request.extend((-1_i16).to_be_bytes());
        request.push(0);
        request.extend(body);
        let mut frame = (request.len() as u32).to_be_bytes().to_vec();
        frame.extend(request);
        stream.write_all(&frame)?;
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        stream.read_exact(&mut answer)?;
        // Correlation id, no tags.
        if answer.get(..5) != Some(&[0, 0, 0, 7, 0]) {
            return Err(Error::from(ErrorKind::InvalidData));
        }
        Ok(answer.split_off(5))
    }
}

/// Lengths are one more than they are, in base 128.
fn length(body: &mut Vec<u8>, length: usize) {
    let mut left = length + 1;
    while left > 0x7f {
        body.push(left as u8 | 0x80);
        left >>= 7;
    }
    body.push(left as u8);
}

fn text(body: &mut Vec<u8>, text: &str) {
    length(body, text.len());
    body.extend(text.as_bytes());
}

fn read_transactions(answer: &mut Answer<'_>, node: usize, found: &mut BTreeMap<String, Transaction>) -> Option<()> {
    answer.take::<4>()?;
    for _ in 0..answer.length()? {
        let error = answer.short()?;
        let (id, state) = (answer.text()?, answer.text()?);
        answer.take::<4>()?;
        answer.take::<8>()?;
        let producer = i64::from_be_bytes(answer.take()?);
        let epoch = answer.short()?;
        for _ in 0..answer.length()? {
            answer.text()?;
            for _ in 0..answer.length()? {
                answer.take::<4>()?;
            }
            answer.take::<1>()?;
        }
        answer.take::<1>()?;
        if error == 0 {
            found.insert(id, Transaction { state, producer, epoch, node });
        }
    }
    Some(())
}

fn read_coordinator(answer: &mut Answer<'_>) -> Option<Option<usize>> {
    answer.take::<4>()?;
    let mut found = None;
    for _ in 0..answer.length()? {
        answer.text()?;
        let node = i32::from_be_bytes(answer.take()?);
        answer.text()?;
        answer.take::<4>()?;
        let error = answer.short()?;
        answer.text()?;
        answer.take::<1>()?;
        if error == 0 {
            found = usize::try_from(node - 1).ok();
        }
    }
    Some(found)
}

fn read_group(answer: &mut Answer<'_>) -> Option<Option<Group>> {
    answer.take::<4>()?;
    let mut found = None;
    for _ in 0..answer.length()? {
        let error = answer.short()?;
        let (_, state, _, _) = (answer.text()?, answer.text()?, answer.text()?, answer.text()?);
        let mut members = Vec::new();
        for _ in 0..answer.length()? {
            members.push(answer.text()?);
            // Instance, client, host, metadata, assignment.
            for _ in 0..5 {
                answer.text()?;
            }
            answer.take::<1>()?;
        }
        answer.take::<5>()?;
        if error == 0 {
            found = Some(Group { state, members });
        }
    }
    Some(found)
}

struct Answer<'a>(&'a [u8]);

impl Answer<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn short(&mut self) -> Option<i16> {
        self.take().map(i16::from_be_bytes)
    }

    /// Zero stands for null, which is as good as empty here.
    fn length(&mut self) -> Option<usize> {
        let (mut value, mut shift) = (0, 0);
        loop {
            let [byte] = self.take()?;
            value |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return Some(usize::saturating_sub(value, 1));
            }
        }
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(String::from_utf8_lossy(text).into_owned())
    }
}
