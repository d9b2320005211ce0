//! Which topics a source can have at all, as far as that is finite.

use regex_syntax::hir::literal::Extractor;

use super::Source;
use super::names;

/// Of more topics than this a pattern is said to match any number.
const MOST: usize = 1000;

impl Source {
    /// Every topic that it can ever read; nothing where a pattern leaves that open.
    pub fn possible_topics(&self) -> Option<Vec<String>> {
        match self {
            Source::Topics(topics) => Some(topics.clone()),
            Source::Pattern(_) => {
                let hir = regex_syntax::parse(self.pattern()?).ok()?;
                let mut extractor = Extractor::new();
                extractor.limit_class(64).limit_repeat(64).limit_literal_len(names::MAX_TOPIC).limit_total(MOST);
                let found = extractor.extract(&hir);
                let literals = found.literals().filter(|_| found.is_exact())?;
                let mut topics: Vec<String> =
                    literals.iter().filter_map(|literal| String::from_utf8(literal.as_bytes().to_vec()).ok()).collect();
                // What looks around itself, as `\b` does, is not taken apart: asked again, each must match.
                topics.retain(|topic| self.matches(topic) && names::topic(topic).is_ok());
                topics.sort();
                topics.dedup();
                Some(topics)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finite_patterns_are_listed() {
        for (pattern, want) in [
            (r"brew\.cdc\.public\.(?<table>events|visits)", Some("brew.cdc.public.events brew.cdc.public.visits")),
            (r"(a|b)\.(c|d)", Some("a.c a.d b.c b.d")),
            ("shard[0-3]", Some("shard0 shard1 shard2 shard3")),
            ("a(x)?", Some("a ax")),
            ("a{2}", Some("aa")),
            ("(?i)ab", Some("AB Ab aB ab")),
            ("^a$", Some("a")),
            (r"a\b", Some("a")),
            (r"a\Bb", Some("ab")),
            (r"a\bb", Some("")),
            ("brew.cdc.x", None),
            ("a.*", None),
            (r"a\.[a-z]+", None),
            ("shard[0-9]{4}", None),
        ] {
            let source = Source::Pattern(regex::Regex::new(&format!("^(?:{pattern})$")).unwrap());
            assert_eq!(source.possible_topics().map(|topics| topics.join(" ")).as_deref(), want, "{pattern}");
        }
    }
}
