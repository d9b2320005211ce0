//! The files to start from: what `init` writes.

use std::fmt::Write;
use std::path::Path;

use super::diagnostics::Diagnostics;
use super::reader::{Text, nearest};
use super::rules_file::{self, RulesFile};
use super::yaml::Span;
use super::{Mode, load};
use crate::operators::mask::Rule;

/// What makes a pseudonym in a new topology.
const PSEUDONYM: Rule = Rule::Hmac;

const SCHEMA_LINE: &str = "# yaml-language-server: $schema=topology.schema.json\n";

const NEW: &str = "\
# What every field means: highwater topology schema, or hover over it in an editor that has the schema.

application: APPLICATION_PADDED # consumer group; prefix of transactional ids and changelogs: choose it once

kafka:                               # any librdkafka property that does not break the guarantee
  bootstrap.servers: ${KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}
# embedded: { path: state/log }      # instead of kafka: the log in this process, no broker

http: { listen: 127.0.0.1:9464 }     # /metrics, /healthz, /readyz

secrets:
  pii: ${MASK_SECRET}                # from outside: `openssl rand -hex 32` makes one. Or ${file:/run/secrets/pii}

defaults:                            # a record that cannot be processed; or: fail, skip
  on_error: { dead_letter: { topic: APPLICATION.dead-letters } }

streams:
  customers:
    from: brew.cdc.public.customers  # Debezium's topic: <topic.prefix>.<schema>.<table>
    steps:
      - dedup                        # keep a change only if it is newer than its key's last
      - mask:
          unlisted: reject           # a column without a rule stops its row instead of leaking; or: drop, passthrough
          fields:
            id: passthrough
            email: PSEUDONYM
            full_name: truncate      # \"Ivan Ivanov\" becomes \"IvanI.\"
            phone: drop
            country: passthrough
    to: brew.analytics.customers
";

/// A topology to start from.
pub fn new(application: &str) -> String {
    let text = NEW.replace("APPLICATION_PADDED", &format!("{application:<23}")).replace("APPLICATION", application);
    let text = text.replace("PSEUDONYM", PSEUDONYM.as_str());
    format!("{SCHEMA_LINE}{text}")
}

/// What goes around a rules file.
pub struct Around<'a> {
    pub application: &'a str,
    /// Before the table's name in the names of source topics.
    pub topic_prefix: &'a str,
    /// Only these; all where it is empty.
    pub tables: &'a [String],
    /// As the topology names it.
    pub path: &'a str,
}

/// A topology around a rules file, which stays as it is: its salt is used as it stands, rows go to its target topics. `dir` is
/// where the topology will lie.
pub fn around(dir: &Path, around: &Around<'_>) -> Result<String, Diagnostics> {
    let mut reader = load::reader(dir, Mode::Check, &|_| None);
    // Diagnostics without a place of their own stand at the path.
    let span = Span {
        file: reader.out.add_file("init --from", around.path),
        line: 1,
        column: 1,
        end_line: 1,
        end_column: usize::MAX,
    };
    let path = Text { text: around.path.to_owned(), span, placeholder: false, literal: true };
    let Some(file) = rules_file::read(&mut reader, &path).filter(|_| reader.out.errors() == 0) else {
        return Err(reader.out);
    };
    for wanted in around.tables.iter().filter(|wanted| !file.tables.iter().any(|table| table.name == **wanted)) {
        let meant = nearest(wanted, file.tables.iter().map(|table| table.name.as_str()));
        let help = meant.map(|name| format!("did you mean `{name}`?"));
        reader.file_error(
            "unknown-name",
            format!("no table `{wanted}` in {}", around.path),
            help.as_deref().as_slice(),
        );
    }
    if reader.out.errors() > 0 {
        return Err(reader.out);
    }
    Ok(written(&file, around))
}

fn written(file: &RulesFile, around: &Around<'_>) -> String {
    let path = quoted(around.path);
    let application = around.application;
    let mut out = format!(
        "{SCHEMA_LINE}\
         # The rules stay in {}, where they are edited as before; a new table needs a line below, too.\n\n\
         application: {application:<23} # consumer group; prefix of transactional ids and changelogs: choose it once\n\n\
         kafka:\n  bootstrap.servers: ${{KAFKA_BOOTSTRAP_SERVERS:-localhost:9092}}\n\
         # embedded: {{ path: state/log }}      # instead of kafka: the log in this process, no broker\n\n\
         http: {{ listen: 127.0.0.1:9464 }}     # /metrics, /healthz, /readyz\n\n",
        around.path
    );
    let hashes = file.tables.iter().flat_map(|table| &table.fields).any(|(field, _)| field.transform.rule().is_keyed());
    if file.salt.is_none() && hashes {
        out += "secrets:\n  pii: ${ANONYMIZE_SALT}             # the file has no `salt`\n\n";
    }
    let _ = write!(
        out,
        "defaults:                            # a record that cannot be processed; or: fail, skip\n  \
         on_error: {{ dead_letter: {{ topic: {application}.dead-letters }} }}\n\n\
         streams:\n  tables:\n    from:\n      topics:\n"
    ); // a String takes everything
    let wanted = |name: &str| around.tables.is_empty() || around.tables.iter().any(|table| table == name);
    for table in file.tables.iter().filter(|table| wanted(&table.name)) {
        let _ = writeln!(out, "        - {}", quoted(&format!("{}{}", around.topic_prefix, table.name)));
    }
    let _ = write!(
        out,
        "    steps:\n      - dedup                        # keep a change only if it is newer than its key's last\n      \
         - mask:\n          rules: {path}\n          \
         # Columns without a rule pass, as they did before; `reject` stops a row with a new one instead of leaking it.\n          \
         unlisted: passthrough\n"
    );
    if file.tables.iter().any(|table| table.target.is_some()) {
        out += "    # rows go to the `target_topic` of their table\n";
    } else {
        out += "    to: 'anonymized.{topic}'           # tables of the file have no `target_topic`\n";
    }
    out
}

/// Plain where YAML and `${…}` have nothing to find in it.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "''").replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::Topology;

    #[test]
    fn what_is_written_has_neither_errors_nor_warnings() {
        let env = |name: &str| (name == "MASK_SECRET").then(|| "0123456789abcdef".to_owned());
        for (application, mode) in [("my-app", Mode::Check), ("orders.v2", Mode::Run)] {
            let text = new(application);
            let loaded = Topology::parse(&text, "topology.yaml", Path::new(""), mode, &env);
            let loaded = loaded.unwrap_or_else(|found| panic!("{found}"));
            assert_eq!(loaded.topology.application, application);
            assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
        }
    }

    #[test]
    fn names_are_quoted_where_they_must() {
        for (text, want) in [
            ("rules/anonymize.yaml", "rules/anonymize.yaml"),
            ("/a/b.yaml", "/a/b.yaml"),
            ("it's.yaml", "'it''s.yaml'"),
            ("a b", "'a b'"),
            ("${X}", "'$${X}'"),
            ("-a", "'-a'"),
            ("1", "'1'"),
        ] {
            assert_eq!(quoted(text), want);
        }
    }
}
