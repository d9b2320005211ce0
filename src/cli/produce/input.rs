//! The lines of a file or of standard input, read on a thread of their own: whoever waits for the next one can do
//! something else meanwhile. Memory is bounded by the longest line.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

/// No record can be as long.
const LONGEST_LINE: usize = 256 << 20;
const BLOCK: usize = 64 << 10;
/// Blocks read ahead.
const AHEAD: usize = 4;

pub struct Input {
    name: String,
    blocks: Receiver<io::Result<Vec<u8>>>,
    buffer: Vec<u8>,
    /// Where the next line begins, and from where on no line break has been looked for.
    next: usize,
    unseen: usize,
    line: Range<usize>,
    number: u64,
    ended: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// See [`Input::line`].
    Line,
    /// Nothing came in that time.
    Pause,
    End,
}

impl Input {
    /// Standard input without a file, and for `-`.
    pub fn open(file: Option<&Path>) -> Result<Self, String> {
        match file.filter(|path| *path != Path::new("-")) {
            None => Self::read("stdin".into(), io::stdin()),
            Some(path) => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|e| format!("cannot read {name}: {e}"))?;
                Self::read(name, file)
            }
        }
    }

    fn read(name: String, mut source: impl Read + Send + 'static) -> Result<Self, String> {
        let (give, blocks) = sync_channel(AHEAD);
        let read = move || {
            loop {
                let mut block = vec![0; BLOCK];
                let end = match source.read(&mut block) {
                    Ok(0) => return,
                    Ok(length) => {
                        block.truncate(length);
                        give.send(Ok(block)).is_err()
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => false,
                    Err(error) => {
                        // Nobody listens any more where enough has been read.
                        let _ = give.send(Err(error));
                        true
                    }
                };
                if end {
                    return;
                }
            }
        };
        thread::Builder::new().name("input".into()).spawn(read).map_err(|e| format!("cannot start a thread: {e}"))?;
        Ok(Self { name, blocks, buffer: Vec::new(), next: 0, unseen: 0, line: 0..0, number: 0, ended: false })
    }

    /// Waits up to `wait` for more of the input where no whole line is there yet.
    pub fn next(&mut self, wait: Duration) -> Result<Next, String> {
        loop {
            let rest = self.buffer.get(self.unseen..).unwrap_or_default();
            if let Some(length) = memchr::memchr(b'\n', rest) {
                let end = self.unseen + length;
                return Ok(self.take(end, end + 1));
            }
            self.unseen = self.buffer.len();
            if self.ended {
                // The last line needs no line break.
                let end = self.unseen;
                return Ok(if self.next < end { self.take(end, end) } else { Next::End });
            }
            self.buffer.drain(..self.next);
            (self.next, self.unseen) = (0, self.buffer.len());
            if self.buffer.len() > LONGEST_LINE {
                self.number += 1;
                return Err(format!("{}: the line is longer than {} MiB", self.place(), LONGEST_LINE >> 20));
            }
            match self.blocks.recv_timeout(wait) {
                Ok(Ok(block)) if self.buffer.is_empty() => self.buffer = block,
                Ok(Ok(block)) => self.buffer.extend_from_slice(&block),
                Ok(Err(error)) => return Err(format!("cannot read {}: {error}", self.name)),
                Err(RecvTimeoutError::Timeout) => return Ok(Next::Pause),
                Err(RecvTimeoutError::Disconnected) => self.ended = true,
            }
        }
    }

    fn take(&mut self, end: usize, next: usize) -> Next {
        self.line = self.next..end;
        (self.next, self.unseen) = (next, next);
        self.number += 1;
        Next::Line
    }

    /// The line that came last, without its line break.
    pub fn line(&self) -> &[u8] {
        self.buffer.get(self.line.clone()).unwrap_or_default()
    }

    /// Where that line stands: `orders.jsonl:3`.
    pub fn place(&self) -> String {
        format!("{}:{}", self.name, self.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const LONG: Duration = Duration::from_secs(60);

    fn lines(mut input: Input) -> Vec<String> {
        let mut lines = Vec::new();
        while input.next(LONG).unwrap() == Next::Line {
            lines.push(format!("{} {}", input.place(), String::from_utf8_lossy(input.line())));
        }
        assert_eq!(input.next(LONG), Ok(Next::End));
        lines
    }

    /// Hands out so many bytes at a time.
    struct Drops(Vec<u8>, usize);

    impl Read for Drops {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let length = self.0.len().min(self.1).min(buffer.len());
            buffer[..length].copy_from_slice(&self.0[..length]);
            self.0.drain(..length);
            Ok(length)
        }
    }

    #[test]
    fn lines_are_numbered_however_they_come() {
        for (text, want) in [
            ("", &[][..]),
            ("\n", &["in:1 "]),
            ("a", &["in:1 a"]),
            ("a\n", &["in:1 a"]),
            ("a\n\nb\r\nc", &["in:1 a", "in:2 ", "in:3 b\r", "in:4 c"]),
        ] {
            for size in [1, 2, 3, 1000] {
                let input = Input::read("in".into(), Drops(text.into(), size)).unwrap();
                assert_eq!(lines(input), want, "{text:?} by {size}");
            }
        }
    }

    #[test]
    fn lines_longer_than_a_block() {
        let long = "x".repeat(3 * BLOCK + 7);
        let input = Input::read("in".into(), Drops(format!("a\n{long}\nb\n{long}").into(), usize::MAX)).unwrap();
        assert_eq!(lines(input), ["in:1 a".into(), format!("in:2 {long}"), "in:3 b".into(), format!("in:4 {long}")]);
    }

    #[test]
    fn a_pause_is_told_and_half_a_line_is_not_a_line() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut input = Input::read("in".into(), reader).unwrap();
        writer.write_all(b"a\nb").unwrap();
        let next = |input: &mut Input, wait| (input.next(wait).unwrap(), input.line().to_vec());
        assert_eq!(next(&mut input, LONG), (Next::Line, b"a".to_vec()));
        assert_eq!(next(&mut input, Duration::from_millis(1)).0, Next::Pause);
        writer.write_all(b"c\n").unwrap();
        assert_eq!(next(&mut input, LONG), (Next::Line, b"bc".to_vec()));
        drop(writer);
        assert_eq!(next(&mut input, LONG).0, Next::End);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let error = Input::open(Some(Path::new("no/such/file"))).err().unwrap();
        assert!(error.starts_with("cannot read no/such/file: "), "{error}");
        let mut directory = Input::open(Some(Path::new("/"))).unwrap();
        assert!(directory.next(LONG).unwrap_err().starts_with("cannot read /: "));
    }
}
