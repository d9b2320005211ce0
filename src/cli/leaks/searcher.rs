//! All forms of all values at once, in one pass over any number of bytes.
//!
//! What is searched comes in chunks, and a value may lie across their borders: as many bytes as the longest spelling has
//! are kept and searched again with the next chunk. Memory goes by the values, never by what is searched.

use std::io::Read;

use aho_corasick::{AhoCorasick, MatchKind};

use super::forms::{Form, spellings};
use super::values::{Values, is_number};

/// What a spelling stands for.
struct Meaning {
    value: usize,
    form: Form,
    /// Of a longer number it would be a part, which says nothing.
    alone: bool,
}

/// A value that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Its number in [`Values::all`].
    pub value: usize,
    pub form: Form,
    /// Of its first byte.
    pub at: u64,
}

pub struct Searcher {
    automaton: AhoCorasick,
    meanings: Vec<Meaning>,
    longest: usize,
}

impl Searcher {
    pub fn new(values: &Values) -> Result<Self, String> {
        let mut meanings = Vec::new();
        let mut patterns = Vec::new();
        for (piece, value) in values.pieces() {
            let number = std::str::from_utf8(piece).is_ok_and(is_number);
            for (form, spelling) in spellings(piece) {
                meanings.push(Meaning { value: *value, form, alone: number && form == Form::Plain });
                patterns.push(spelling);
            }
        }
        let longest = patterns.iter().map(Vec::len).max().unwrap_or_default();
        // Every match counts, also one within another.
        let automaton = AhoCorasick::builder().match_kind(MatchKind::Standard).build(patterns);
        let automaton = automaton.map_err(|e| format!("too many values to look for: {e}"))?;
        Ok(Self { automaton, meanings, longest })
    }

    /// Bytes that it takes itself.
    pub fn memory(&self) -> usize {
        self.automaton.memory_usage()
    }

    /// Searches bytes that are all there is.
    pub fn search(&self, bytes: &[u8], found: &mut dyn FnMut(Found)) {
        self.between(bytes, 0, bytes.len(), 0, found);
    }

    pub fn holds(&self, bytes: &[u8]) -> bool {
        let mut any = false;
        self.search(bytes, &mut |_| any = true);
        any
    }

    /// Searches to the end of what is read, and says how long it was.
    pub fn read(&self, mut from: impl Read, found: &mut dyn FnMut(Found)) -> std::io::Result<u64> {
        let mut stream = Stream::new(self);
        let mut chunk = vec![0; CHUNK];
        loop {
            match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => stream.feed(chunk.get(..read).unwrap_or_default(), found),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(stream.end(found))
    }

    /// What begins in `bytes` at `from` or behind it, and before `to`. `base` is where the bytes begin.
    fn between(&self, bytes: &[u8], from: usize, to: usize, base: u64, found: &mut dyn FnMut(Found)) {
        for one in self.automaton.find_overlapping_iter(bytes) {
            let Some(meaning) = self.meanings.get(one.pattern().as_usize()) else { continue };
            if !(from..to).contains(&one.start()) {
                continue;
            }
            let is_digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
            if meaning.alone && (is_digit(one.start().checked_sub(1)) || is_digit(Some(one.end()))) {
                continue;
            }
            found(Found { value: meaning.value, form: meaning.form, at: base + one.start() as u64 });
        }
    }
}

const CHUNK: usize = 256 << 10;

/// Chunks of one text, in their order.
pub struct Stream<'s> {
    searcher: &'s Searcher,
    held: Vec<u8>,
    /// Of what is held, bytes whose matches are told already: one, which is there to be looked back at.
    told: usize,
    /// Where what is held begins.
    base: u64,
}

impl<'s> Stream<'s> {
    pub fn new(searcher: &'s Searcher) -> Self {
        Self { searcher, held: Vec::new(), told: 0, base: 0 }
    }

    pub fn feed(&mut self, chunk: &[u8], found: &mut dyn FnMut(Found)) {
        self.held.extend_from_slice(chunk);
        // What begins before it ends within what is held, and so does the byte behind.
        let whole = self.held.len().saturating_sub(self.searcher.longest);
        if whole <= self.told {
            return;
        }
        self.searcher.between(&self.held, self.told, whole, self.base, found);
        self.held.drain(..whole - 1);
        self.base += whole as u64 - 1;
        self.told = 1;
    }

    /// The length of it all.
    pub fn end(self, found: &mut dyn FnMut(Found)) -> u64 {
        self.searcher.between(&self.held, self.told, self.held.len(), self.base, found);
        self.base + self.held.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searcher(texts: &[&str]) -> Searcher {
        Searcher::new(&Values::of(texts).unwrap()).unwrap()
    }

    fn all(searcher: &Searcher, bytes: &[u8]) -> Vec<(usize, Form, u64)> {
        let mut all = Vec::new();
        searcher.search(bytes, &mut |found| all.push((found.value, found.form, found.at)));
        all.sort_unstable();
        all
    }

    #[test]
    fn values_within_values_and_several_at_once() {
        let searcher = searcher(&["ivan@example.com", "example"]);
        let hex = b"xx6976616e406578616d706c652e636f6d";
        assert_eq!(all(&searcher, b"<ivan@example.com>"), [(0, Form::Plain, 1), (1, Form::Plain, 6)]);
        assert_eq!(all(&searcher, hex), [(0, Form::Hex, 2), (1, Form::Hex, 12)]);
        assert!(all(&searcher, b"ivan@exampl").is_empty() && !searcher.holds(b""));
    }

    #[test]
    fn a_number_within_a_longer_one_says_nothing() {
        let searcher = searcher(&["79110007919"]);
        for (text, want) in [
            ("79110007919", true),
            ("+79110007919,", true),
            ("phone79110007919x", true),
            ("179110007919", false),
            ("791100079190", false),
            // The same as hex is no chance.
            ("a3739313130303037393139", true),
        ] {
            assert_eq!(searcher.holds(text.as_bytes()), want, "{text}");
        }
    }

    /// Every size of chunk, so that every place of a border is met, for every form.
    #[test]
    fn borders_of_chunks_hide_nothing_and_double_nothing() {
        let values = ["Zoë \"M\" <a@b.c>", "79110007919"];
        let searcher = searcher(&values);
        let mut text = b"begin 179110007919 ".to_vec();
        for value in values {
            for (_, spelling) in spellings(value.as_bytes()) {
                text.extend_from_slice(&spelling);
                text.extend_from_slice(b" | ");
            }
        }
        let whole = all(&searcher, &text);
        let forms: std::collections::BTreeSet<Form> = whole.iter().map(|(_, form, _)| *form).collect();
        assert_eq!(forms.len(), Form::ALL.len(), "every form is met");
        for size in (1..searcher.longest + 3).chain([text.len() - 1, text.len()]) {
            let (mut stream, mut found) = (Stream::new(&searcher), Vec::new());
            for chunk in text.chunks(size) {
                stream.feed(chunk, &mut |one| found.push((one.value, one.form, one.at)));
            }
            assert_eq!(stream.end(&mut |one| found.push((one.value, one.form, one.at))), text.len() as u64);
            found.sort_unstable();
            assert_eq!(found, whole, "chunks of {size}");
        }
    }

    /// Against the simplest search there is.
    #[test]
    fn what_is_read_is_searched_like_what_is_there() {
        let searcher = searcher(&["CANARY"]);
        let mut bytes = vec![b'x'; 3 * CHUNK];
        for border in [CHUNK, 2 * CHUNK] {
            for (at, byte) in b"CANARY".iter().enumerate() {
                bytes[border - 3 + at] = *byte;
            }
        }
        let (mut read, naive) = (Vec::new(), bytes.windows(6).enumerate().filter(|(_, w)| w == b"CANARY"));
        let length = searcher.read(&bytes[..], &mut |found| read.push(found.at)).unwrap();
        assert_eq!(length, bytes.len() as u64);
        assert_eq!(read, naive.map(|(at, _)| at as u64).collect::<Vec<_>>());
    }
}
