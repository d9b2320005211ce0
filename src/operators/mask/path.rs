//! Which values a rule is for: a column, or places within one.
//!
//! `email` is a column, `address.street` a member of the object in a column, `contacts[].phone` a member of each object in
//! an array, `tags[]` each element. A backslash takes the meaning from `.`, `[` and itself. Text that holds JSON (what
//! Debezium makes of json and jsonb) is reached into like the value that it holds.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub column: String,
    pub steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    Member(String),
    /// Each element of an array.
    Each,
}

/// Deeper than anybody's columns, shallower than the stack.
const DEEPEST: usize = 100;

impl Path {
    pub fn column(name: impl Into<String>) -> Self {
        Self { column: name.into(), steps: Vec::new() }
    }

    /// Fails with a sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut names = Vec::new();
        let mut name = String::new();
        // After `[]` only `.`, another `[` or the end may follow.
        let mut closed = false;
        let mut chars = text.chars();
        let finish = |name: &mut String, closed: bool, names: &mut Vec<Step>| match (name.is_empty(), closed) {
            (true, false) => Err("a name is empty".to_owned()),
            (true, true) => Ok(()),
            (false, _) => {
                names.push(Step::Member(std::mem::take(name)));
                Ok(())
            }
        };
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some(escaped @ ('.' | '[' | '\\')) if !closed => name.push(escaped),
                    _ => return Err("a backslash stands before `.`, `[` or another backslash".into()),
                },
                '.' => {
                    finish(&mut name, closed, &mut names)?;
                    closed = false;
                }
                '[' => {
                    finish(&mut name, closed, &mut names)?;
                    if chars.next() != Some(']') {
                        return Err("`[` is followed by `]`: rules are for all elements alike".into());
                    }
                    names.push(Step::Each);
                    closed = true;
                }
                _ if closed => return Err("`[]` is followed by `.` or the end".into()),
                c => name.push(c),
            }
        }
        finish(&mut name, closed, &mut names)?;
        if names.len() > DEEPEST {
            return Err(format!("no value lies deeper than {DEEPEST} steps"));
        }
        let mut steps = names.into_iter();
        match steps.next() {
            Some(Step::Member(column)) => Ok(Self { column, steps: steps.collect() }),
            _ => Err("it starts with the name of a column".into()),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |name: &str| name.replace('\\', "\\\\").replace('.', "\\.").replace('[', "\\[");
        f.write_str(&escaped(&self.column))?;
        for step in &self.steps {
            match step {
                Step::Member(name) => write!(f, ".{}", escaped(name))?,
                Step::Each => f.write_str("[]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_and_print() {
        let (member, each) = (|name: &str| Step::Member(name.into()), Step::Each);
        for (text, column, steps) in [
            ("email", "email", vec![]),
            ("address.street", "address", vec![member("street")]),
            ("contacts[].phone", "contacts", vec![each.clone(), member("phone")]),
            ("tags[]", "tags", vec![each.clone()]),
            ("m[][]", "m", vec![each.clone(), each.clone()]),
            ("a.b[].c.d", "a", vec![member("b"), each, member("c"), member("d")]),
            (r"a\.b.c\[x", "a.b", vec![member("c[x")]),
            (r"a\\", r"a\", vec![]),
            ("имя]", "имя]", vec![]),
        ] {
            let path = Path::parse(text).unwrap();
            assert_eq!((path.column.as_str(), &path.steps), (column, &steps), "{text}");
            assert_eq!(path.to_string(), text);
        }
        for text in ["", ".", "a.", ".a", "a..b", "[]", "[].a", "a[0]", "a[", "a[]b", r"a\b", r"a\", r"a[]\.b"] {
            assert!(Path::parse(text).is_err(), "{text}");
        }
        assert!(Path::parse(&format!("{}a", "a.".repeat(99))).is_ok());
        assert!(Path::parse(&format!("{}a", "a.".repeat(100))).is_err());
    }
}
