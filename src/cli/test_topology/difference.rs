//! What came otherwise than expected, and how it is shown.

use serde_json::json;

/// One difference: where it is stated, what is the matter, and the lines that show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Of the scenario file; None where nothing is stated.
    pub line: Option<usize>,
    pub message: String,
    pub shown: Vec<Shown>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    Expected(String),
    Got(String),
    Note(String),
}

impl Difference {
    pub fn new(line: impl Into<Option<usize>>, message: impl Into<String>) -> Self {
        Self { line: line.into(), message: message.into(), shown: Vec::new() }
    }

    pub fn expected(mut self, text: impl ToString) -> Self {
        self.shown.push(Shown::Expected(text.to_string()));
        self
    }

    pub fn got(mut self, text: impl ToString) -> Self {
        self.shown.push(Shown::Got(text.to_string()));
        self
    }

    pub fn note(mut self, text: impl ToString) -> Self {
        self.shown.push(Shown::Note(text.to_string()));
        self
    }

    /// `file` stands before the line.
    pub fn render(&self, file: &str, paint: Paint) -> String {
        let at = self.line.map(|line| format!(" ({file}:{line})")).unwrap_or_default();
        let mut out = format!("  {}{}\n", self.message, paint.on(DIM, &at));
        for shown in &self.shown {
            let line = match shown {
                Shown::Expected(text) => paint.on(RED, &format!("- {text}")),
                Shown::Got(text) => paint.on(GREEN, &format!("+ {text}")),
                Shown::Note(text) => paint.on(DIM, &format!("  {text}")),
            };
            out += &format!("    {line}\n");
        }
        out
    }

    pub fn json(&self) -> serde_json::Value {
        let of = |pick: fn(&Shown) -> Option<&String>| self.shown.iter().filter_map(pick).collect::<Vec<_>>();
        json!({
            "line": self.line,
            "message": self.message,
            "expected": of(|shown| if let Shown::Expected(text) = shown { Some(text) } else { None }),
            "got": of(|shown| if let Shown::Got(text) = shown { Some(text) } else { None }),
            "notes": of(|shown| if let Shown::Note(text) = shown { Some(text) } else { None }),
        })
    }
}

pub const RED: &str = "31";
pub const GREEN: &str = "32";
pub const BOLD_RED: &str = "1;31";
pub const BOLD_GREEN: &str = "1;32";
pub const DIM: &str = "2";

/// Colours, where they are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    pub fn on(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// `1 row`, `3 rows`.
pub fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
