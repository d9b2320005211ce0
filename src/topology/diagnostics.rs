//! What is wrong with a topology, in the form of a good compiler: where it stands, the line itself, a caret, the remedy.
//!
//! Guarantee: no rendering shows a secret that stands in a file. Excerpts show what is known to be harmless
//! ([`Diagnostics::show`]) and hide the rest, comments included; messages never quote a secret.

use std::fmt::{self, Write};

use super::yaml::{self, Span};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable, for people to search and scripts to match.
    pub code: &'static str,
    pub message: String,
    /// Absent where the file itself is the matter.
    pub span: Option<Span>,
    /// Behind the caret; may be empty.
    pub label: String,
    pub help: Vec<String>,
}

/// Everything found, with the texts it was found in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    files: Vec<File>,
    items: Vec<Diagnostic>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    name: String,
    lines: Vec<String>,
    hidden: Vec<Span>,
    /// Where it is known what the text says, only this is shown of it, and its punctuation.
    shown: Option<Vec<Span>>,
}

impl Diagnostics {
    /// Adds a file; its index goes into spans.
    pub fn add_file(&mut self, name: impl Into<String>, text: &str) -> usize {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = yaml::lines(text).map(str::to_owned).collect();
        self.files.push(File { name: name.into(), lines, hidden: Vec::new(), shown: None });
        self.files.len() - 1
    }

    /// Excerpts show `***` here.
    pub fn hide(&mut self, span: Span) {
        if let Some(file) = self.files.get_mut(span.file) {
            file.hidden.push(span);
        }
    }

    /// Excerpts show this unless it is hidden, and from now on no other words of the file.
    pub fn show(&mut self, span: Span) {
        if let Some(file) = self.files.get_mut(span.file) {
            file.shown.get_or_insert_default().push(span);
        }
    }

    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.push(diagnostic);
    }

    pub fn retain(&mut self, keep: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(keep);
    }

    /// In the order of the files and their lines.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        let mut items: Vec<_> = self.items.iter().collect();
        items.sort_by_key(|item| item.span.map_or((0, 0, 0), |at| (at.file, at.line, at.column)));
        items.into_iter()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    pub fn errors(&self) -> usize {
        self.items.iter().filter(|item| item.severity == Severity::Error).count()
    }

    pub fn warnings(&self) -> usize {
        self.items.len() - self.errors()
    }

    /// The file a diagnostic belongs to.
    pub fn file(&self, item: &Diagnostic) -> &str {
        self.files.get(item.span.map_or(0, |span| span.file)).map_or("", |file| &file.name)
    }

    /// `topology.yaml: 3 errors, 1 warning`
    pub fn summary(&self) -> String {
        let name = self.files.first().map_or("", |file| &file.name);
        let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        format!("{name}: {}, {}", count(self.errors(), "error"), count(self.warnings(), "warning"))
    }

    /// Where more is to be read, of the worst that was found.
    pub fn more(&self) -> Option<String> {
        let first = self.iter().min_by_key(|item| item.severity)?;
        Some(format!("for more: highwater explain {}", first.code))
    }

    /// All of them, a blank line behind each.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for item in self.iter() {
            self.render_one(&mut out, item, Paint(colour));
            out.push('\n');
        }
        out
    }

    fn render_one(&self, out: &mut String, item: &Diagnostic, paint: Paint) {
        let hue = if item.severity == Severity::Error { RED } else { YELLOW };
        let head = format!("{}[{}]", item.severity.as_str(), item.code);
        line(out, &format!("{}{}", paint.on(hue, &head), paint.on(BOLD, &format!(": {}", item.message))));
        let Some(span) = item.span else {
            line(out, &format!("  {} {}", paint.on(BLUE, "-->"), self.file(item)));
            self.render_help(out, item, 1, paint);
            return;
        };
        let number = span.line.to_string();
        let (gap, arrow, bar) = (" ".repeat(number.len()), paint.on(BLUE, "-->"), paint.on(BLUE, "|"));
        line(out, &format!("{gap}{arrow} {}:{}:{}", self.file(item), span.line, span.column));
        line(out, &format!("{gap} {bar}"));
        let (text, start, width) = self.excerpt(span);
        line(out, format!("{} {bar} {text}", paint.on(BLUE, &number)).trim_end());
        let caret = paint.on(hue, format!("{} {}", "^".repeat(width), item.label).trim_end());
        line(out, &format!("{gap} {bar} {}{caret}", " ".repeat(start)));
        self.render_help(out, item, number.len(), paint);
    }

    fn render_help(&self, out: &mut String, item: &Diagnostic, gap: usize, paint: Paint) {
        for help in &item.help {
            line(out, &format!("{} {} help: {help}", " ".repeat(gap), paint.on(BLUE, "=")));
        }
    }

    /// The first line of the span with secrets hidden, and where in it the caret stands: (text, spaces before, width).
    fn excerpt(&self, span: Span) -> (String, usize, usize) {
        let Some(file) = self.files.get(span.file) else { return (String::new(), 0, 1) };
        let source = span.line.checked_sub(1).and_then(|index| file.lines.get(index)).map_or("", |line| line.as_str());
        let mut text = String::new();
        // Where each column of the file, and the end, stands in the excerpt.
        let mut places = Vec::new();
        let (mut shown, mut was_hidden) = (0, false);
        let mut before = ' ';
        for (index, c) in source.chars().enumerate() {
            if c == '#' && before.is_whitespace() && !file.knows(span.line, index + 1) {
                break;
            }
            before = c;
            // Once hidden, a word is hidden to its end, its punctuation included.
            let within = was_hidden && matches!(c, '-' | ':' | '\'' | '"') && !file.knows(span.line, index + 1);
            let hidden = within || file.hides(span.line, index + 1, c);
            if hidden && was_hidden {
                places.push(shown - 3);
                continue;
            }
            was_hidden = hidden;
            places.push(shown);
            shown += if hidden { 3 } else { 1 };
            match hidden {
                true => text.push_str("***"),
                false => text.push(if c.is_control() { ' ' } else { c }),
            }
        }
        let length = places.len();
        places.push(shown);
        let place = |column: usize| places.get(column.saturating_sub(1)).copied().unwrap_or(shown);
        let start = place(span.column);
        let end = if span.end_line > span.line { place(length + 1) } else { place(span.end_column) };
        (text, start, end.saturating_sub(start).max(1))
    }

    /// Annotations of pull requests: one workflow command a line.
    pub fn github(&self) -> String {
        let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
        let mut out = String::new();
        for item in self.iter() {
            let mut text = item.message.clone();
            for more in [&item.label].into_iter().chain(&item.help).filter(|more| !more.is_empty()) {
                text = text + "\n" + more;
            }
            let at = match item.span {
                Some(span) => format!(",line={},col={}", span.line, span.column),
                None => String::new(),
            };
            let (kind, file) = (item.severity.as_str(), property(self.file(item)));
            line(&mut out, &format!("::{kind} file={file}{at},title={}::{}", item.code, escape(&text)));
        }
        out
    }

    /// One object with a list, for scripts.
    pub fn json(&self) -> serde_json::Value {
        let each = |item: &Diagnostic| {
            serde_json::json!({
                "severity": item.severity.as_str(),
                "code": item.code,
                "message": item.message,
                "file": self.file(item),
                "line": item.span.map(|span| span.line),
                "column": item.span.map(|span| span.column),
                "label": item.label,
                "help": item.help,
            })
        };
        let items: Vec<_> = self.iter().map(each).collect();
        serde_json::json!({ "errors": self.errors(), "warnings": self.warnings(), "diagnostics": items })
    }
}

impl File {
    fn knows(&self, line: usize, column: usize) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.iter().any(|span| covers(span, line, column)))
    }

    fn hides(&self, line: usize, column: usize, c: char) -> bool {
        let harmless = c.is_whitespace() || matches!(c, '-' | ':' | ',' | '{' | '}' | '[' | ']' | '"' | '\'');
        self.hidden.iter().any(|span| covers(span, line, column)) || (!harmless && !self.knows(line, column))
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.render(false), self.summary())?;
        self.more().map_or(Ok(()), |more| write!(f, "\n{more}"))
    }
}

impl std::error::Error for Diagnostics {}

fn line(out: &mut String, text: &str) {
    let _ = writeln!(out, "{text}"); // a String takes everything
}

fn covers(hidden: &Span, line: usize, column: usize) -> bool {
    (hidden.line, hidden.column) <= (line, column) && (line, column) < (hidden.end_line, hidden.end_column)
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const BOLD: &str = "1";

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn on(self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str, span: Option<Span>) -> Diagnostics {
        let mut all = Diagnostics::default();
        all.add_file("topology.yaml", text);
        let help = vec!["see there".to_owned()];
        let (message, label) = ("a thing is off".to_owned(), "here".to_owned());
        all.push(Diagnostic { severity: Severity::Error, code: "off", message, span, label, help });
        all
    }

    fn at(line: usize, column: usize, end_column: usize) -> Span {
        Span { file: 0, line, column, end_line: line, end_column }
    }

    #[test]
    fn looks_like_a_compiler() {
        let got = one(&("\n".repeat(11) + "treads: 2\n"), Some(at(12, 1, 7))).to_string();
        let want = "error[off]: a thing is off\n  --> topology.yaml:12:1\n   |\n12 | treads: 2\n   | ^^^^^^ here\n   \
                    = help: see there\n\ntopology.yaml: 1 error, 0 warnings\nfor more: highwater explain off";
        assert_eq!(got, want);
        let got = one("", None).render(false);
        assert_eq!(got, "error[off]: a thing is off\n  --> topology.yaml\n  = help: see there\n\n");
    }

    #[test]
    fn hidden_places_stay_hidden_and_the_caret_stays_right() {
        for (hidden, span, want) in [
            (at(1, 4, 10), at(1, 12, 13), "1 | a: ***, b: 2\n  |         ^ here\n"),
            (at(1, 4, 10), at(1, 4, 10), "1 | a: ***, b: 2\n  |    ^^^ here\n"),
            (at(1, 4, 10), at(1, 6, 8), "1 | a: ***, b: 2\n  |    ^ here\n"),
            (Span { file: 0, line: 1, column: 1, end_line: 2, end_column: 1 }, at(1, 1, 3), "1 | ***\n  | ^ here\n"),
        ] {
            let mut all = one("a: secret, b: 2", Some(span));
            all.hide(hidden);
            assert!(all.render(false).contains(want), "{}", all.render(false));
            assert!(!all.render(true).contains("secret"));
        }
    }

    #[test]
    fn only_what_is_known_is_shown() {
        let mut all = one("a: b, c: d # e", Some(at(1, 7, 8)));
        for span in [at(1, 1, 2), at(1, 4, 5), at(1, 7, 8)] {
            all.show(span);
        }
        assert!(all.render(false).contains("1 | a: b, c: ***\n  |       ^ here\n"), "{}", all.render(false));
    }

    #[test]
    fn spans_outside_the_text_do_no_harm() {
        for span in [at(0, 0, 0), at(9, 9, 9), at(1, 99, 3), Span { file: 7, ..at(1, 1, 2) }] {
            assert!(one("a", Some(span)).render(true).contains("a thing is off"));
        }
    }

    #[test]
    fn other_forms() {
        let all = one("a: b, c", Some(at(1, 4, 5)));
        let want = "::error file=topology.yaml,line=1,col=4,title=off::a thing is off%0Ahere%0Asee there\n";
        assert_eq!(all.github(), want);
        assert_eq!(all.json()["diagnostics"][0]["column"], 4);
        assert!(all.render(true).starts_with("\x1b[1;31merror[off]\x1b[0m"));
        assert!(!all.render(false).contains('\x1b'));
    }
}
