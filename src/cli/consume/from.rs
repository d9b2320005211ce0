//! Where reading begins.

use std::collections::VecDeque;

use crate::log::{Bounds, TopicPartition};
use crate::record::Record;

use super::super::cluster_arg::Ending;
use super::reading::{Reading, Sink, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    Earliest,
    /// What is written from now on.
    Latest,
    At(i64),
    /// So many records before the end.
    Last(usize),
}

pub fn parse(text: &str) -> Result<From, String> {
    match text {
        "earliest" => Ok(From::Earliest),
        "latest" => Ok(From::Latest),
        _ => {
            let number = text.strip_prefix('-').unwrap_or(text);
            match number.parse::<u32>() {
                Ok(number) if text.starts_with('-') => Ok(From::Last(number as usize)),
                _ => text.parse().ok().filter(|at| *at >= 0).map(From::At).ok_or_else(|| {
                    "expected `earliest`, `latest`, an offset, or `-N` for the last N records".to_string()
                }),
            }
        }
    }
}

impl From {
    /// What of a partition is read, `Last` being found out later.
    pub fn span(self, tp: TopicPartition, bounds: Bounds) -> Result<Span, Ending> {
        let Bounds { start, end } = bounds;
        let next = match self {
            From::Earliest | From::Last(_) => start,
            From::Latest => end,
            From::At(offset) if offset < start => {
                let what = format!("offset {offset} of {tp} is not in the log any more, which starts at {start}");
                return Err(Ending::Failed(format!("{what}; --from earliest reads from there")));
            }
            From::At(offset) => offset.min(end),
        };
        let first = if let From::At(offset) = self { offset } else { next };
        Ok(Span { tp, next, first, end })
    }
}

/// The offsets of the last records that came, and of which partition.
struct Tail {
    most: usize,
    offsets: VecDeque<i64>,
}

impl Sink for Tail {
    fn take(&mut self, record: &Record<'_>) -> bool {
        if self.offsets.len() == self.most {
            self.offsets.pop_front();
        }
        self.offsets.push_back(record.offset);
        true
    }

    fn pause(&mut self) -> bool {
        true
    }
}

/// Makes a span begin with the last `most` records before its end.
///
/// Offsets do not tell how many records there are: transactions take one for their end, aborted ones more, and compaction
/// leaves gaps. So it looks back, further and further, until it has seen as many.
pub fn shorten(reading: &Reading<'_>, span: &mut Span, most: usize) -> Result<(), Ending> {
    let start = span.next;
    let mut back = most as i64 + 16;
    if most == 0 {
        (span.next, span.first) = (span.end, span.end);
        return Ok(());
    }
    loop {
        let from = span.end.saturating_sub(back).max(start);
        let mut tail = Tail { most, offsets: VecDeque::new() };
        reading.run(&[Span { next: from, first: from, ..span.clone() }], &mut tail)?;
        if tail.offsets.len() == most || from == start {
            span.next = tail.offsets.front().copied().unwrap_or(span.end);
            span.first = span.next;
            return Ok(());
        }
        back = back.saturating_mul(4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beginnings() {
        for (text, want) in [
            ("earliest", Some(From::Earliest)),
            ("latest", Some(From::Latest)),
            ("0", Some(From::At(0))),
            ("9223372036854775807", Some(From::At(i64::MAX))),
            ("-10", Some(From::Last(10))),
            ("-0", Some(From::Last(0))),
            ("--1", None),
            ("-", None),
            ("", None),
            ("-99999999999", None),
            ("9223372036854775808", None),
            ("Earliest", None),
            ("1.5", None),
        ] {
            assert_eq!(parse(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn an_offset_that_is_gone_is_an_error_and_one_to_come_is_the_end() {
        let span = |from: From| from.span(TopicPartition::new("t", 1), Bounds { start: 5, end: 9 });
        for (from, next, first) in [
            (From::Earliest, 5, 5),
            (From::Latest, 9, 9),
            (From::At(5), 5, 5),
            (From::At(8), 8, 8),
            (From::At(99), 9, 99),
        ] {
            assert_eq!(span(from).map(|span| (span.next, span.first, span.end)), Ok((next, first, 9)), "{from:?}");
        }
        let Err(Ending::Failed(error)) = span(From::At(4)) else { panic!() };
        assert!(error.contains("offset 4 of t-1") && error.contains("starts at 5"), "{error}");
    }
}
