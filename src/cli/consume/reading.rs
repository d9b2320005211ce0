//! Partitions read without a group: to the ends they had, or on and on.

use std::time::{Duration, Instant};

use crate::log::{Event, Isolation, LogError, Reader, TopicPartition};
use crate::record::Record;
use crate::topology::show_duration;

use super::super::cluster_arg::{Connection, Ending};

/// What of a partition is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    pub tp: TopicPartition,
    /// The next offset.
    pub next: i64,
    /// Nothing below is wanted: an offset that is still to come.
    pub first: i64,
    /// One past the last offset, unless it is followed.
    pub end: i64,
}

/// Where records go.
pub trait Sink {
    /// False when that was enough.
    fn take(&mut self, record: &Record<'_>) -> bool;
    /// Nothing more is there at the moment. False when nobody wants more.
    fn pause(&mut self) -> bool;
}

pub struct Reading<'a> {
    pub connection: &'a Connection<'a>,
    pub isolation: Isolation,
    /// Goes on at the ends.
    pub follow: bool,
    /// How long nothing may come short of an end.
    pub patience: Duration,
}

/// Records of one call.
const MOST: usize = 1000;
/// How long a call waits for them; so long a single record may be on its way to the sink.
const WAIT: Duration = Duration::from_millis(50);

/// A span on its way.
struct Way {
    span: Span,
    /// Where the log said that no more is to be had for now.
    stands_at: Option<i64>,
    open: bool,
}

impl Reading<'_> {
    /// Returns at the ends, or when the sink has enough.
    pub fn run(&self, spans: &[Span], sink: &mut dyn Sink) -> Result<(), Ending> {
        let wanted = spans.iter().filter(|span| self.follow || span.next < span.end);
        let mut ways: Vec<Way> = wanted.map(|span| Way { span: span.clone(), stands_at: None, open: true }).collect();
        if ways.is_empty() {
            return Ok(());
        }
        let mut reader = self.connection.log.reader(0, self.isolation)?;
        for way in &ways {
            reader.start(&way.span.tp, way.span.next)?;
        }
        let (mut wait, mut heard, mut unreachable) = (WAIT, Instant::now(), None);
        loop {
            if (self.connection.stopped)() {
                return Err(Ending::Interrupted);
            }
            let (mut came, mut wanted, mut latest) = (false, true, 0);
            let events = reader.poll(MOST, wait, &mut |record| {
                came = true;
                latest = place(&ways, record, latest);
                if let Some(way) = ways.get_mut(latest).filter(|way| way.open && wanted) {
                    way.span.next = record.offset + 1;
                    way.stands_at = None;
                    if record.offset >= way.span.first && (self.follow || record.offset < way.span.end) {
                        wanted = sink.take(record);
                    }
                }
            });
            if !wanted {
                return Ok(());
            }
            for event in events {
                came |= self.event(event, &mut ways, &mut unreachable)?;
            }
            if came {
                (heard, unreachable) = (Instant::now(), None);
            }
            if self.closed(&mut ways, reader.as_mut())? {
                return Ok(());
            }
            // Another look before waiting: what comes fast is not written bit by bit.
            wait = if came { Duration::ZERO } else { WAIT };
            if !came && !sink.pause() {
                return Ok(());
            }
            if !self.follow && heard.elapsed() > self.patience {
                return Err(Ending::Failed(self.stalled(&ways, unreachable)));
            }
        }
    }

    /// True where it is news of a partition.
    fn event(&self, event: Event, ways: &mut [Way], unreachable: &mut Option<String>) -> Result<bool, LogError> {
        match event {
            Event::End { tp, offset } => {
                if let Some(way) = ways.iter_mut().find(|way| way.span.tp == tp) {
                    way.span.next = way.span.next.max(offset);
                    way.stands_at = Some(offset);
                }
                return Ok(true);
            }
            Event::OutOfRange(tp) => {
                let next = ways.iter().find(|way| way.span.tp == tp).map_or(0, |way| way.span.next);
                return Err(LogError::Stop(format!(
                    "offset {next} of {tp} is not in the log any more: its records were deleted meanwhile"
                )));
            }
            Event::Unreachable(text) => {
                if unreachable.is_none() && self.follow {
                    tracing::warn!("waiting for {}: {text}", self.connection.cluster);
                }
                *unreachable = Some(text);
            }
            Event::Notice(text) => tracing::warn!("{text}"),
            Event::Fatal(error) => return Err(error),
            // A reader is in no group.
            Event::Assigned(_) | Event::Revoked { .. } => {}
        }
        Ok(false)
    }

    /// Stops the partitions that are at their ends; true when all are.
    fn closed(&self, ways: &mut [Way], reader: &mut dyn Reader) -> Result<bool, LogError> {
        if self.follow {
            return Ok(false);
        }
        for way in ways.iter_mut().filter(|way| way.open && way.span.next >= way.span.end) {
            way.open = false;
            reader.stop(&way.span.tp)?;
        }
        Ok(ways.iter().all(|way| !way.open))
    }

    fn stalled(&self, ways: &[Way], unreachable: Option<String>) -> String {
        let (cluster, patience) = (self.connection.cluster, show_duration(self.patience));
        let short = |way: &&Way| way.open;
        let Some(way) = ways.iter().filter(short).find(|way| way.stands_at.is_some()).or(ways.iter().find(short))
        else {
            return format!("{cluster}: no answer for {patience}");
        };
        let Span { tp, next, end, .. } = &way.span;
        match (way.stands_at, unreachable) {
            (_, Some(text)) => format!("{cluster}: {text}"),
            (Some(offset), None) if self.isolation == Isolation::Committed => format!(
                "an open transaction at offset {offset} of {tp} holds back the rest, up to offset {end}; \
                 --timeout waits longer than {patience} for its end, --isolation read_uncommitted does not wait. \
                 If nobody ends it:\n  {}",
                self.connection.log.admin().hanging_hint(tp)
            ),
            _ => format!("{cluster}: nothing came of {tp} from offset {next} on for {patience}, and it ends at {end}"),
        }
    }
}

/// The record's partition among the ways: mostly that of the record before.
fn place(ways: &[Way], record: &Record<'_>, latest: usize) -> usize {
    let is_of = |way: &Way| way.span.tp.partition == record.partition && &*way.span.tp.topic == record.topic;
    if ways.get(latest).is_some_and(is_of) { latest } else { ways.iter().position(is_of).unwrap_or(usize::MAX) }
}
