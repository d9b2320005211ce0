//! YAML text in, a tree with positions out. The only file that imports the YAML library.
//!
//! The tree is built from the parser's events and not through serde: a scalar keeps its text (`no`, `1e3` and `007` stay
//! what was written), every duplicate key is reported instead of the first, and every node knows where it stands.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Options, Parser, ScalarStyle, Span as ParserSpan, StrInput, Tag};

/// Where something stands in a file. Lines and columns count from 1, columns in characters; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Index of the file among those a load has read.
    pub file: usize,
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}

/// The lines of a text as spans count them: YAML ends one at a carriage return, too. Whoever splits it otherwise hides a secret
/// in another line than the one that shows it.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let (line, tail) = rest.split_at(end);
        let more = !rest.is_empty();
        rest = tail.strip_prefix("\r\n").or_else(|| tail.strip_prefix(['\n', '\r'])).unwrap_or_default();
        more.then_some(line)
    })
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    pub value: Value,
    /// Where it is used: for an alias, the alias.
    pub span: Span,
    /// Where its text stands: for an alias, the anchored node.
    pub defined: Span,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Scalar {
        text: String,
        /// Without quotes, so that a blank, `~` and `null` mean nothing.
        plain: bool,
    },
    Seq(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

impl Node {
    /// A scalar that says nothing: empty, `~` or `null`, without quotes.
    pub fn is_blank(&self) -> bool {
        match &self.value {
            Value::Scalar { text, plain: true } => matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"),
            _ => false,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            _ if self.is_blank() => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::Seq(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

/// Why a text is not, or not entirely, a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: &'static str,
    pub span: Span,
    pub message: String,
    pub label: String,
}

/// The tree, and what is wrong with it. `root` is absent for an empty text and after a syntax error.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parsed {
    pub root: Option<Node>,
    pub problems: Vec<Problem>,
}

/// Deeper than any configuration, shallower than the stack.
const MAX_DEPTH: usize = 48;
/// Aliases multiply nodes; a file that passes this is an attack or an accident.
const MAX_NODES: usize = 100_000;

/// Parses one YAML document. `file` is copied into every span.
pub fn parse(text: &str, file: usize) -> Parsed {
    let mut options = Options::default();
    options.set_emit_comments(false);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder {
        parser: Parser::new_from_str_with_options(text, options),
        file,
        problems: Vec::new(),
        anchors: HashMap::new(),
        nodes: 0,
        last: Span { file, line: 1, column: 1, end_line: 1, end_column: 1 },
        open: Vec::new(),
        lines: lines(text).collect(),
    };
    let root = builder.document().unwrap_or_else(|problem| {
        builder.problems.push(problem);
        None
    });
    Parsed { root, problems: builder.problems }
}

struct Builder<'a> {
    parser: Parser<'a, StrInput<'a>>,
    file: usize,
    problems: Vec<Problem>,
    /// By the parser's number. Entered when complete, so that an alias inside its own anchor is not found.
    anchors: HashMap<usize, Node>,
    nodes: usize,
    last: Span,
    /// Collections that are being read, by what their text begins with and its line: a bracket that is not closed.
    open: Vec<(char, usize)>,
    lines: Vec<&'a str>,
}

impl<'a> Builder<'a> {
    fn document(&mut self) -> Result<Option<Node>, Problem> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                _ if root.is_some() => {
                    return Err(self.problem(
                        span,
                        "more than one document in the file",
                        "only one is read: remove `---` and what follows",
                    ));
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        Ok(root.filter(|node: &Node| !node.is_blank()))
    }

    fn next(&mut self) -> Result<Option<(Event<'a>, Span)>, Problem> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => {
                let span = self.span(&span);
                self.last = span;
                Ok(Some((event, span)))
            }
            Some(Err(error)) => {
                let (line, column) = (error.marker().line(), error.marker().col() + 1);
                let span = Span { file: self.file, line, column, end_line: line, end_column: column + 1 };
                // The kind says what was expected; it never quotes a value.
                let kind = error.kind().to_string();
                Err(self.problem(span, &format!("not YAML: {kind}"), &self.guess(&kind)))
            }
        }
    }

    /// What a syntax error comes from most often; nothing where that is not known.
    fn guess(&self, kind: &str) -> String {
        let bracket = self.open.last().filter(|(first, _)| matches!(first, '[' | '{'));
        match bracket {
            _ if kind.contains("tabs") => "indent with spaces".into(),
            _ if kind.contains("quoted scalar") => "is a quote closed that was opened above?".into(),
            Some((bracket, line)) => format!("is the `{bracket}` of line {line} closed, and before it every other?"),
            None if kind.contains("mapping values") => {
                "a value with `: ` in it needs quotes; or is an indent wrong?".into()
            }
            None => String::new(),
        }
    }

    /// Reads a collection that begins at `span`, and knows meanwhile that it is open.
    fn within<T>(&mut self, span: Span, read: impl FnOnce(&mut Self) -> Result<T, Problem>) -> Result<T, Problem> {
        let line = span.line.checked_sub(1).and_then(|line| self.lines.get(line));
        let first = line.and_then(|line| line.chars().nth(span.column.saturating_sub(1)));
        self.open.push((first.unwrap_or(' '), span.line));
        let outcome = read(self);
        self.open.pop();
        outcome
    }

    /// The next event inside a collection, where the stream cannot end.
    fn inner(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.next()? {
            Some(next) => Ok(next),
            None => Err(self.problem(self.last, "not YAML: the file ends too early", &self.guess(""))),
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        self.nodes += 1;
        if depth > MAX_DEPTH || self.nodes > MAX_NODES {
            return Err(self.problem(
                span,
                "the file is nested too deeply, or too large once its aliases are expanded",
                "no topology needs as much",
            ));
        }
        let (value, anchor, tag, span) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (Value::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain }, anchor, tag, span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                let (items, end) = self.within(span, |own| own.seq(depth))?;
                (Value::Seq(items), anchor, tag, to(span, end))
            }
            Event::MappingStart(_, anchor, tag) => {
                let (entries, end) = self.within(span, |own| own.map(depth))?;
                (Value::Map(entries), anchor, tag, to(span, end))
            }
            Event::Alias(id) => return self.alias(id, span),
            _ => return Err(self.problem(span, "not YAML: a value is missing", "")),
        };
        if tag.is_some_and(|tag| !Tag::is_yaml_core_schema(&tag)) {
            let message = "YAML tags (`!…`) mean nothing here".to_owned();
            self.problems.push(Problem {
                code: "yaml-tag",
                span,
                message,
                label: "remove the tag; what comes from outside is `${NAME}`".into(),
            });
        }
        let node = Node { value, span, defined: span };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Node, Problem> {
        let Some(node) = self.anchors.get(&id) else {
            return Err(self.problem(
                span,
                "an alias cannot stand inside its own anchor",
                "it would hold itself: write it out",
            ));
        };
        let node = Node { span, ..node.clone() };
        self.nodes += size(&node);
        Ok(node)
    }

    fn seq(&mut self, depth: usize) -> Result<(Vec<Node>, Span), Problem> {
        let mut items = Vec::new();
        loop {
            match self.inner()? {
                (Event::SequenceEnd, span) => return Ok((items, span)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<(Vec<Entry>, Span), Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen: HashMap<String, usize> = HashMap::new();
        let mut merges = Vec::new();
        loop {
            let (event, span) = match self.inner()? {
                (Event::MappingEnd, end) => {
                    self.merge(&mut entries, merges);
                    return Ok((entries, end));
                }
                next => next,
            };
            let key = self.node(event, span, depth + 1)?;
            let (event, span) = self.inner()?;
            let value = self.node(event, span, depth + 1)?;
            let (text, plain) = match key.value {
                Value::Scalar { text, plain } => (text, plain),
                _ => {
                    let (message, label) = (
                        "the name of a field is a list or a mapping".into(),
                        "expected a name: one for each, in lines of their own".into(),
                    );
                    self.problems.push(Problem { code: "wrong-type", span: key.span, message, label });
                    continue;
                }
            };
            if plain && text == "<<" {
                merges.push(value);
            } else if let Some(first) = seen.get(&text) {
                let message = format!("field `{text}` is given twice");
                let label = format!("first given on line {first}: remove one of the two");
                self.problems.push(Problem { code: "duplicate-field", span: key.span, message, label });
            } else {
                seen.insert(text.clone(), key.span.line);
                entries.push(Entry { key: text, key_span: key.span, value });
            }
        }
    }

    /// `<<: *anchor`: fields that the mapping does not give itself.
    fn merge(&mut self, entries: &mut Vec<Entry>, merges: Vec<Node>) {
        for node in merges {
            let sources = match node.value {
                Value::Seq(items) => items,
                _ => vec![node],
            };
            for source in sources {
                let Value::Map(fields) = source.value else {
                    let message = format!("`<<` takes a mapping, found {}", source.kind());
                    self.problems.push(Problem {
                        code: "wrong-type",
                        span: source.span,
                        message,
                        label: "`<<: *name` takes the fields of what is marked `&name`".into(),
                    });
                    continue;
                };
                for field in fields {
                    if entries.iter().all(|entry| entry.key != field.key) {
                        entries.push(field);
                    }
                }
            }
        }
    }

    fn span(&self, span: &ParserSpan) -> Span {
        Span {
            file: self.file,
            line: span.start.line(),
            column: span.start.col() + 1,
            end_line: span.end.line(),
            end_column: span.end.col() + 1,
        }
    }

    fn problem(&self, span: Span, message: &str, label: &str) -> Problem {
        Problem { code: "yaml", span, message: message.into(), label: label.into() }
    }
}

fn to(start: Span, end: Span) -> Span {
    Span { end_line: end.end_line, end_column: end.end_column, ..start }
}

fn size(node: &Node) -> usize {
    match &node.value {
        Value::Scalar { .. } => 1,
        Value::Seq(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Map(entries) => 1 + entries.iter().map(|entry| 1 + size(&entry.value)).sum::<usize>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_that_spans_count() {
        for (text, want) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a\n", &["a"]),
            ("a\n\nb", &["a", "", "b"]),
            ("a\r\nb\r\n", &["a", "b"]),
            ("a\rb\n\rc\r", &["a", "b", "", "c"]),
            ("a\u{85}\u{2028}\u{b}b", &["a\u{85}\u{2028}\u{b}b"]),
        ] {
            assert_eq!(lines(text).collect::<Vec<_>>(), want, "{text:?}");
        }
        let text = "a: 1\rb: 2\r\nc: 3\n\rd: 4\ne: [5,\r\r6]";
        let Some(Node { value: Value::Map(entries), .. }) = parse(text, 0).root else { panic!("a mapping") };
        for Entry { key, key_span, .. } in entries {
            assert!(
                lines(text).nth(key_span.line - 1).is_some_and(|line| line.starts_with(&key)),
                "{key}: {key_span:?}"
            );
        }
    }

    /// The tree as one line, with `line:column` behind each node.
    fn show(node: &Node) -> String {
        let at = format!("@{}:{}", node.span.line, node.span.column);
        match &node.value {
            Value::Scalar { text, plain } if *plain => format!("{text}{at}"),
            Value::Scalar { text, .. } => format!("{text:?}{at}"),
            Value::Seq(items) => format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(", ")),
            Value::Map(entries) => {
                let each =
                    |e: &Entry| format!("{}@{}:{} = {}", e.key, e.key_span.line, e.key_span.column, show(&e.value));
                format!("{{{}}}", entries.iter().map(each).collect::<Vec<_>>().join(", "))
            }
        }
    }

    #[test]
    fn scalars_keep_their_text() {
        for text in ["no", "on", "yes", "1e3", "007", "0x1F", "12345678901234567890.10", ".nan", "1_000", "2026-11-20"]
        {
            let parsed = parse(&format!("{text}: {text}"), 0);
            let column = text.len() + 3;
            let want = format!("{{{text}@1:1 = {text}@1:{column}}}");
            assert_eq!(parsed.root.as_ref().map(show), Some(want));
            assert_eq!(parsed.problems, []);
        }
    }

    #[test]
    fn trees() {
        let cases = [
            ("a: [b, 'c']\nd:\n  e: \"f\"\n", r#"{a@1:1 = [b@1:5, "c"@1:8], d@2:1 = {e@3:3 = "f"@3:6}}"#),
            ("a: &x {b: 1}\nc: *x\n", "{a@1:1 = {b@1:8 = 1@1:11}, c@2:1 = {b@1:8 = 1@1:11}}"),
            (
                "a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}\n",
                "{a@1:1 = {b@1:8 = 1@1:11, c@1:14 = 2@1:17}, d@2:1 = {b@2:13 = 3@2:16, c@1:14 = 2@1:17}}",
            ),
            ("\u{feff}é: ü", "{é@1:1 = ü@1:4}"),
        ];
        for (text, want) in cases {
            let parsed = parse(text, 0);
            assert_eq!(parsed.root.as_ref().map(show).as_deref(), Some(want), "{text}");
            assert_eq!(parsed.problems, []);
        }
    }

    #[test]
    fn blanks_are_known() {
        for (text, blank) in [
            ("a:", true),
            ("a: ~", true),
            ("a: null", true),
            ("a: ''", false),
            ("a: \"null\"", false),
            ("a: []", false),
        ] {
            let root = parse(text, 0).root;
            let Some(Node { value: Value::Map(entries), .. }) = root else { panic!("{text}") };
            assert_eq!(entries[0].value.is_blank(), blank, "{text}");
        }
        for text in ["", "# nothing\n", "---\n", "~"] {
            assert_eq!(parse(text, 0), Parsed::default(), "{text}");
        }
    }

    #[test]
    fn problems_have_positions() {
        let bomb = format!(
            "a0: &a0 [x, x, x, x, x, x, x, x]\n{}",
            (1..9)
                .map(|i| {
                    let p = format!("*a{}", i - 1);
                    format!("a{i}: &a{i} [{p}, {p}, {p}, {p}, {p}, {p}, {p}, {p}]\n")
                })
                .collect::<String>()
        );
        let deep = "[".repeat(60) + &"]".repeat(60);
        type Want<'a> = &'a [(&'a str, usize, usize)];
        let cases: [(&str, Want<'_>); 9] = [
            (
                "a: 1\na: 2\nb: 3\na: 4\nb: 5",
                &[("duplicate-field", 2, 1), ("duplicate-field", 4, 1), ("duplicate-field", 5, 1)],
            ),
            ("a: !env X", &[("yaml-tag", 1, 9)]),
            ("a: [1, 2\nb: 3", &[("yaml", 2, 2)]),
            ("? [x]\n: 1", &[("wrong-type", 1, 3)]),
            ("a: &x [*x]", &[("yaml", 1, 8)]),
            ("a: 1\n---\nb: 2", &[("yaml", 3, 1)]),
            ("a: {<<: 7}", &[("wrong-type", 1, 9)]),
            (&bomb, &[("yaml", 6, 20)]),
            (&deep, &[("yaml", 1, 50)]),
        ];
        for (text, want) in cases {
            let got: Vec<_> = parse(text, 0).problems.iter().map(|p| (p.code, p.span.line, p.span.column)).collect();
            assert_eq!(got, want, "{text}");
        }
    }
}
