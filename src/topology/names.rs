//! Names that Kafka takes, and templates of names.

/// Kafka's limit for a topic's name.
pub(super) const MAX_TOPIC: usize = 249;

/// What keeps Kafka from taking this name of a topic.
pub fn topic(name: &str) -> Result<(), String> {
    if name == "." || name == ".." {
        return Err("Kafka takes no topic of this name".into());
    }
    if name.len() > MAX_TOPIC {
        return Err(format!("it has {} characters, Kafka takes {MAX_TOPIC}", name.len()));
    }
    plain(name)
}

/// Letters, digits, `.`, `_` and `-`, and at least one of them.
pub(super) fn plain(name: &str) -> Result<(), String> {
    match name.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '.' | '_' | '-')) {
        Some(c) => Err(format!("letters, digits, `.`, `_` and `-` are allowed, `{}` is not", c.escape_default())),
        None if name.is_empty() => Err("it is empty".into()),
        None => Ok(()),
    }
}

/// A piece of a template such as `analytics.{table}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    Group(&'a str),
}

/// Takes a template apart.
pub(super) fn template(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['{', '}']) {
        let Some(inner) = rest[start..].strip_prefix('{') else { return Err("`}` without its `{`".into()) };
        let Some(end) = inner.find(['{', '}']).filter(|end| inner[*end..].starts_with('}')) else {
            return Err("`{` without its `}`".into());
        };
        if start > 0 {
            pieces.push(Piece::Text(&rest[..start]));
        }
        pieces.push(Piece::Group(&inner[..end]));
        rest = &inner[end + 1..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

/// Puts values for the groups. A broken template, which a checked topology has none of, stays as it is.
pub(super) fn expand<'a>(text: &'a str, value: impl Fn(&'a str) -> String) -> String {
    let Ok(pieces) = template(text) else { return text.to_owned() };
    let each = |piece| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Group(name) => value(name),
    };
    pieces.into_iter().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics() {
        for name in ["a", "brew.cdc.public.customers", "A_b-9", &"x".repeat(249)] {
            assert_eq!(topic(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", "a b", "a/b", "é", "a:b", "{table}", &"x".repeat(250)] {
            assert!(topic(name).is_err(), "{name}");
        }
    }

    #[test]
    fn templates() {
        use Piece::{Group, Text};
        assert_eq!(template("a.{b}.c{d}"), Ok(vec![Text("a."), Group("b"), Text(".c"), Group("d")]));
        assert_eq!(template("{b}"), Ok(vec![Group("b")]));
        for bad in ["a{", "a}", "{a{b}}", "{a", "}{"] {
            assert!(template(bad).is_err(), "{bad}");
        }
        assert_eq!(expand("a.{b}.c{d}", |name| name.to_uppercase()), "a.B.cD");
    }
}
