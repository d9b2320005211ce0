//! JSON read the naive way: a tree, by recursion, that keeps every spelling. It shares no line with what it judges.

/// A value, and its text as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node<'a> {
    pub raw: &'a str,
    pub tree: Tree<'a>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree<'a> {
    Null,
    Bool,
    Number,
    Text,
    Array(Vec<Node<'a>>),
    /// Names are texts.
    Object(Vec<(Node<'a>, Node<'a>)>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Syntax,
    /// Deeper than recursion should go: such an input is passed over.
    Deep,
}

const DEEPEST: usize = 100;

pub fn parse(text: &str) -> Result<Node<'_>, Fault> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0)?;
    reader.blanks();
    if reader.at == text.len() { Ok(node) } else { Err(Fault::Syntax) }
}

impl<'a> Node<'a> {
    pub fn is_null(&self) -> bool {
        self.tree == Tree::Null
    }

    pub fn members(&self) -> Option<&[(Node<'a>, Node<'a>)]> {
        match &self.tree {
            Tree::Object(members) => Some(members),
            _ => None,
        }
    }

    pub fn elements(&self) -> Option<&[Node<'a>]> {
        match &self.tree {
            Tree::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// What a text says. The outer None: it is no text; the inner one: half a surrogate pair.
    pub fn text(&self) -> Option<Option<String>> {
        (self.tree == Tree::Text).then(|| decode(&self.raw[1..self.raw.len() - 1]))
    }

    /// Without the blanks between its parts.
    pub fn compact(&self) -> String {
        match &self.tree {
            Tree::Array(elements) => {
                format!("[{}]", elements.iter().map(Node::compact).collect::<Vec<_>>().join(","))
            }
            Tree::Object(members) => {
                let members = members.iter().map(|(name, value)| name.raw.to_owned() + ":" + &value.compact());
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            _ => self.raw.to_owned(),
        }
    }
}

/// By way of UTF-16, which is what the escapes are made of.
fn decode(between_quotes: &str) -> Option<String> {
    let mut units = Vec::new();
    let mut chars = between_quotes.chars();
    while let Some(c) = chars.next() {
        let plain = match c {
            '\\' => match chars.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&digits, 16).ok()?);
                    continue;
                }
                same => same,
            },
            c => c,
        };
        units.extend_from_slice(plain.encode_utf16(&mut [0; 2]));
    }
    String::from_utf16(&units).ok()
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> Result<(), Fault> {
        if self.peek() != Some(byte) {
            return Err(Fault::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node<'a>, Fault> {
        if depth > DEEPEST {
            return Err(Fault::Deep);
        }
        self.blanks();
        let start = self.at;
        let tree = match self.peek().ok_or(Fault::Syntax)? {
            b'n' => self.word("null", Tree::Null)?,
            b't' => self.word("true", Tree::Bool)?,
            b'f' => self.word("false", Tree::Bool)?,
            b'"' => self.string()?,
            b'[' => Tree::Array(self.list(b']', |reader| reader.value(depth + 1))?),
            b'{' => Tree::Object(self.list(b'}', |reader| {
                reader.blanks();
                let start = reader.at;
                let tree = reader.string()?;
                let name = Node { raw: &reader.text[start..reader.at], tree };
                reader.blanks();
                reader.take(b':')?;
                Ok((name, reader.value(depth + 1)?))
            })?),
            _ => self.number()?,
        };
        Ok(Node { raw: &self.text[start..self.at], tree })
    }

    fn word(&mut self, word: &str, tree: Tree<'a>) -> Result<Tree<'a>, Fault> {
        word.bytes().try_for_each(|byte| self.take(byte))?;
        Ok(tree)
    }

    fn list<T>(&mut self, end: u8, item: impl Fn(&mut Self) -> Result<T, Fault>) -> Result<Vec<T>, Fault> {
        self.at += 1;
        self.blanks();
        let mut items = Vec::new();
        if self.peek() == Some(end) {
            self.at += 1;
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            self.blanks();
            if self.peek() == Some(end) {
                self.at += 1;
                return Ok(items);
            }
            self.take(b',')?;
        }
    }

    fn string(&mut self) -> Result<Tree<'a>, Fault> {
        self.take(b'"')?;
        loop {
            let byte = self.peek().ok_or(Fault::Syntax)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(Tree::Text),
                b'\\' => {
                    let escape = self.peek().ok_or(Fault::Syntax)?;
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => {
                            for _ in 0..4 {
                                let digit = self.peek().ok_or(Fault::Syntax)?;
                                if !digit.is_ascii_hexdigit() {
                                    return Err(Fault::Syntax);
                                }
                                self.at += 1;
                            }
                        }
                        _ => return Err(Fault::Syntax),
                    }
                }
                0..0x20 => return Err(Fault::Syntax),
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Result<Tree<'a>, Fault> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1
        } else {
            self.digits()?
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Tree::Number)
    }

    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Fault::Syntax) }
    }
}
