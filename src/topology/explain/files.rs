//! Codes of errors and warnings in files.

use super::{Explanation, Kind};

const fn error(code: &'static str, title: &'static str, texts: [&'static str; 4]) -> Explanation {
    let [cause, remedy, wrong, right] = texts;
    Explanation { code, kind: Kind::Error, title, cause, data: "", remedy, wrong, right }
}

const fn warning(code: &'static str, title: &'static str, texts: [&'static str; 5]) -> Explanation {
    let [cause, data, remedy, wrong, right] = texts;
    Explanation { code, kind: Kind::Warning, title, cause, data, remedy, wrong, right }
}

const fn scenario(code: &'static str, title: &'static str, texts: [&'static str; 4]) -> Explanation {
    Explanation { kind: Kind::Scenario, ..error(code, title, texts) }
}

pub(super) static ALL: &[Explanation] = &[
    error(
        "bad-value",
        "a value that its field does not take",
        [
            "The field is known, and its value is not of the form or among the words that it takes.",
            "The text behind the caret says what is expected; a duration or a size needs its unit.",
            "commit_interval: 100\n",
            "commit_interval: 100ms\n",
        ],
    ),
    error(
        "blank",
        "nothing where a value belongs",
        [
            "A name stands there with nothing behind it, `~` or `null`; a slip there must not mean \"the default\".",
            "Give it a value, or take the line out.",
            "threads:\n",
            "threads: 2\n",
        ],
    ),
    error(
        "column",
        "a name that no rule can have",
        [
            "The name is empty, is no path to a value, or is one that Highwater writes itself (`cdc_lsn`, `_deleted`): \
         the rule would never meet a column.",
            "Name the column as the table has it, and what lies in it by its path: `address.street`, `contacts[].phone`.",
            "steps: [dedup, { mask: { unlisted: drop, fields: { cdc_lsn: drop } } }]\n",
            "steps: [dedup, { mask: { unlisted: drop, fields: { note: drop } } }]\n",
        ],
    ),
    error(
        "conflict",
        "two things that exclude each other",
        [
            "Two fields contradict each other, or two streams would share a topic that must be one's own.",
            "Keep the one that is meant; the caret stands under the second.",
            "from: { topic: a, topics: [b, c] }\n",
            "from: { topics: [a, b, c] }\n",
        ],
    ),
    error(
        "duplicate-field",
        "a field given twice",
        [
            "YAML lets a name stand once in a mapping; which of the two is meant cannot be known.",
            "Remove one of them; the message names the line of the first.",
            "threads: 1\nthreads: 2\n",
            "threads: 2\n",
        ],
    ),
    error(
        "empty-file",
        "a file with nothing in it",
        [
            "The file is empty, or holds nothing but comments.",
            "`highwater init` writes a topology to start from.",
            "# nothing but this\n",
            "application: shop\n…",
        ],
    ),
    error(
        "incomplete",
        "a file that could not be read to its end",
        [
            "Something was left out of the topology without an error of its own: that is a fault of Highwater.",
            "Report it, with the file; secrets in it can be replaced.",
            "(none is known)",
            "(any)",
        ],
    ),
    error(
        "loop",
        "what is written is read again",
        [
            "A stream reads a topic that the topology itself writes: rows would go round for ever, and hashes be hashed again.",
            "Narrow the pattern, or write to topics under another prefix.",
            "from: { pattern: 'shop\\..*' }\nto: 'shop.clean'\n",
            "from: { pattern: 'shop\\..*' }\nto: 'clean.shop'\n",
        ],
    ),
    error(
        "missing-field",
        "a field that must be there",
        [
            "The section cannot do without the field.",
            "The text behind the caret says what it is for and how it is written.",
            "kafka: { client.id: me }\n",
            "kafka: { client.id: me, bootstrap.servers: localhost:9092 }\n",
        ],
    ),
    error(
        "missing-mask",
        "a stream without a mask",
        [
            "The stream has no `mask` step: every personal value would pass.",
            "Give it rules; or say that nothing is to be masked, `- mask: none`.",
            "steps: [dedup]\n",
            "steps: [dedup, { mask: none }]\n",
        ],
    ),
    error(
        "missing-secret",
        "a rule without a secret",
        [
            "A rule needs a secret, and none is declared, or several are and the step names none.",
            "Declare one in the section `secrets`; with several, name it: `mask: { secret: NAME, … }`.",
            "secrets: { a: '${PII}', b: '${PII}' }\nstreams:\n  s:\n    from: in\n    \
         steps: [dedup, { mask: { unlisted: drop, fields: { email: hash } } }]\n    to: out\n",
            "secrets: { a: '${PII}', b: '${PII}' }\nstreams:\n  s:\n    from: in\n    \
         steps: [dedup, { mask: { secret: a, unlisted: drop, fields: { email: hash } } }]\n    to: out\n",
        ],
    ),
    error(
        "name",
        "a name that a stream cannot have",
        [
            "The stream's name goes into names of topics, and Kafka takes letters, digits, `.`, `_` and `-`.",
            "Rename the stream; one that has run already starts over under another name.",
            "streams:\n  my rows: { from: in, steps: [dedup, mask: none], to: out }\n",
            "streams:\n  my-rows: { from: in, steps: [dedup, mask: none], to: out }\n",
        ],
    ),
    error(
        "pattern",
        "no regular expression",
        [
            "`pattern` does not compile as a regular expression.",
            "Close what is open; a dot that means a dot is `\\.`, and single quotes keep YAML from reading backslashes.",
            "from: { pattern: 'shop\\.(a|b' }\n",
            "from: { pattern: 'shop\\.(a|b)' }\n",
        ],
    ),
    error(
        "refused-property",
        "a property that would break the guarantee",
        [
            "Highwater sets the property itself: another value would lose or repeat changes; or it is one of the Java client.",
            "Take it out; the text behind the caret says what to use instead.",
            "kafka: { bootstrap.servers: b, isolation.level: read_uncommitted }\n",
            "kafka: { bootstrap.servers: b, client.id: me }\n",
        ],
    ),
    error(
        "rules-file",
        "a rules file that cannot be read",
        [
            "`mask: { rules: FILE }` names a file that is not there or cannot be read.",
            "Paths start at the topology's directory, not where the command runs.",
            "steps: [dedup, { mask: { rules: anonimize.yaml } }]\n",
            "steps: [dedup, { mask: { rules: anonymize.yaml } }]\n",
        ],
    ),
    error(
        "same-source",
        "a topic with two readers",
        [
            "Two streams read the same topic, or one reads it twice: its offsets and its state belong to one.",
            "Let one stream read it; what both should get can be written to one topic and read from there.",
            "from: { topics: [a, a] }\n",
            "from: { topics: [a, b] }\n",
        ],
    ),
    error(
        "step",
        "a step that is not where or what it should be",
        [
            "A step is blank, given twice, has two names, or stands in the wrong place: `dedup` looks at a change as it came, \
         before `mask`.",
            "One step a line: `- dedup`, `- mask: { … }`, in this order.",
            "steps: [{ mask: none }, dedup]\n",
            "steps: [dedup, { mask: none }]\n",
        ],
    ),
    error(
        "substitution",
        "a `${…}` that is not right",
        [
            "`${` stands there and nothing that it may hold follows.",
            "It takes ${NAME}, ${NAME:-default}, ${NAME:?message} and ${file:PATH}; a dollar before a brace is `$$`.",
            "threads: '${1X}'\n",
            "threads: '${THREADS:-2}'\n",
        ],
    ),
    error(
        "template",
        "an output topic that cannot be made",
        [
            "`to` names a group that the source's pattern has not, or its braces do not match.",
            "Name the group in the pattern, `(?<table>…)`; `{topic}` is always there.",
            "from: { pattern: 'shop\\.(?<table>a|b)' }\nto: 'clean.{tabel}'\n",
            "from: { pattern: 'shop\\.(?<table>a|b)' }\nto: 'clean.{table}'\n",
        ],
    ),
    error(
        "timeout",
        "a transaction that would not last",
        [
            "The broker aborts a transaction after `transaction_timeout`, and one lasts a `commit_interval` and the worst stall.",
            "Shorten `commit_interval`, or lengthen `transaction_timeout`.",
            "commit_interval: 30s\n",
            "commit_interval: 30s\ntransaction_timeout: 1m\n",
        ],
    ),
    error(
        "topic-name",
        "a name that no topic can have",
        [
            "Kafka takes 249 letters, digits, `.`, `_` and `-`; a changelog is named after application, stream and source topic.",
            "Correct or shorten the name; many topics are read by `from: { pattern: … }`.",
            "from: shop.*\n",
            "from: { pattern: 'shop\\.(a|b)' }\n",
        ],
    ),
    error(
        "unknown-field",
        "a field that is not known",
        [
            "A name that the section does not take: nothing is ignored, because a typo could turn a rule off.",
            "The text behind the caret has the nearest name, or all of them; `highwater topology schema` lets an editor complete them.",
            "treads: 2\n",
            "threads: 2\n",
        ],
    ),
    error(
        "unknown-name",
        "a name that is not there",
        [
            "A stream, a topic or a table is named that the topology, the scenario or the rules file does not have.",
            "The message has the nearest name.",
            "highwater init --from anonymize.yaml --table custmers",
            "highwater init --from anonymize.yaml --table customers",
        ],
    ),
    error(
        "unknown-rule",
        "a rule that is not known",
        [
            "The word behind the column is no rule.",
            "The text behind the caret has the nearest one; docs/language.md lists them all.",
            "steps: [dedup, { mask: { unlisted: drop, fields: { email: hsah } } }]\n",
            "steps: [dedup, { mask: { unlisted: drop, fields: { email: hash } } }]\n",
        ],
    ),
    error(
        "unknown-secret",
        "a secret that is not declared",
        [
            "`secret` names an entry of the section `secrets`, and there is none of that name.",
            "Declare it there, or correct the name; the secret itself does not stand here.",
            "steps: [dedup, { mask: { secret: pi, unlisted: drop, fields: { email: hash } } }]\n",
            "steps: [dedup, { mask: { secret: pii, unlisted: drop, fields: { email: hash } } }]\n",
        ],
    ),
    error(
        "unknown-step",
        "a step that is not known",
        [
            "The list of steps holds a name that is none.",
            "The text behind the caret has the nearest one, or all.",
            "steps: [dedupe, { mask: none }]\n",
            "steps: [dedup, { mask: none }]\n",
        ],
    ),
    error(
        "unmasked-sink",
        "a sink that reads what is not masked yet",
        [
            "A sink's `from` takes a topic that a stream reads: its rows would be in the tables before any rule was applied.",
            "Let the sink read what streams write; narrow its pattern to the prefix of the outputs.",
            "streams:\n  s: { from: shop.raw, steps: [dedup, { mask: none }], to: shop.clean }\n\
             sinks:\n  c: { from: 'shop\\..+', clickhouse: { url: 'http://h', table: t } }\n",
            "streams:\n  s: { from: shop.raw, steps: [dedup, { mask: none }], to: shop.clean }\n\
             sinks:\n  c: { from: shop.clean, clickhouse: { url: 'http://h', table: t } }\n",
        ],
    ),
    error(
        "unreadable",
        "a file that cannot be read",
        [
            "The file is not there, may not be read, or is not UTF-8.",
            "Name another with `-f FILE` or HIGHWATER_FILE; `highwater init` writes one.",
            "highwater run -f topolgy.yaml",
            "highwater run -f topology.yaml",
        ],
    ),
    error(
        "unset",
        "something that must come from outside",
        [
            "An environment variable is not set or empty, or a secret's file cannot be read. `validate` and `describe` go on with \
         a stand-in and say it as a warning; `run` needs the thing itself.",
            "Set it where the command runs, or give a default: `${NAME:-default}`; a secret should have none.",
            "threads: ${HIGHWATER_THREADS}\n",
            "threads: ${HIGHWATER_THREADS:-2}\n",
        ],
    ),
    error(
        "wrong-type",
        "a list, a mapping or a single value where another belongs",
        [
            "The field takes another kind of YAML than stands there, often because of an indent.",
            "A list is `[a, b]` or lines with `- `; a mapping is `{ a: b }` or indented lines.",
            "threads: [2]\n",
            "threads: 2\n",
        ],
    ),
    error(
        "yaml",
        "no YAML",
        [
            "The text cannot be read as YAML; the caret stands where that is noticed, the cause may be a line above.",
            "Look, also in the lines above, for an unclosed quote or bracket, a tab in an indent, or a `: ` within a value.",
            "to: 'out\n",
            "to: 'out'\n",
        ],
    ),
    error(
        "yaml-tag",
        "a tag that means nothing here",
        [
            "`!…` is a tag of YAML, as other tools use it for what comes from outside.",
            "Remove it; what comes from outside is `${NAME}`.",
            "threads: !int 2\n",
            "threads: 2\n",
        ],
    ),
    error(
        "filter-without-dedup",
        "a filter that would forget what it sent",
        [
            "A row that leaves the predicate is taken back from the readers, and it is `dedup` that remembers which rows \
         they have.",
            "Put `dedup` before it; or look at each record alone with `mode: record`, and rows that leave the predicate stay \
         with the readers.",
            "steps: [{ filter: { field: country, equals: RU } }, { mask: none }]\n",
            "steps: [dedup, { filter: { field: country, equals: RU } }, { mask: none }]\n",
        ],
    ),
    error(
        "key-rotation",
        "a secret with other keys than its use needs",
        [
            "`hash` and the state go by one key for ever, because nothing in them says which key it was; `previous` of a rule \
         needs a secret with two.",
            "Use `hmac`, which puts the key's id in front; name a secret of one key for the state; take `previous` out when \
         the rotation is over.",
            "steps: [dedup, { mask: { unlisted: drop, fields: { email: { rule: hmac, previous: old } } } }]\n",
            "steps: [dedup, { mask: { unlisted: drop, fields: { email: hmac } } }]\n",
        ],
    ),
    warning(
        "literal-secret",
        "a secret in the file itself",
        [
            "A secret or a password stands in the file: whoever reads the file, or its history, has it.",
            "It is used as it stands.",
            "Take it from outside: `${NAME}` or `${file:PATH}`; and replace it, because it was seen.",
            "secrets: { pii: 0123456789abcdef0123 }\n",
            "secrets: { pii: '${PII}' }\n",
        ],
    ),
    warning(
        "no-dedup",
        "a stream that takes replays",
        [
            "The stream has no `dedup` step.",
            "What a connector delivers again goes out again, old states after newer ones.",
            "`steps: [dedup, …]`, unless the table has no key or what reads the output can cope.",
            "steps: [{ mask: none }]\n",
            "steps: [dedup, { mask: none }]\n",
        ],
    ),
    warning(
        "masked-tenant",
        "a tenant that is not named by its column",
        [
            "A sink's `tenant` is a column of the rows as they leave, and a stream that writes them drops it or puts something \
             else in its place.",
            "A column that is dropped names nobody; one that is masked names tenants by what its rule leaves.",
            "Give the column `passthrough` if it is no personal value, or name another one.",
            "secrets: { pii: '${PII}' }\nstreams:\n  s: { from: a, steps: [dedup, { mask: { unlisted: drop, fields: { tenant: hmac } } }], to: b }\n\
             sinks:\n  c: { from: b, tenant: tenant, clickhouse: { url: 'http://h', table: t } }\n",
            "streams:\n  s: { from: a, steps: [dedup, { mask: { unlisted: drop, fields: { tenant: passthrough } } }], to: b }\n\
             sinks:\n  c: { from: b, tenant: tenant, clickhouse: { url: 'http://h', table: t } }\n",
        ],
    ),
    warning(
        "no-tenant",
        "a Redis that is told nothing",
        [
            "The topology has `redis`, and no sink has a `tenant`.",
            "Nothing is written to Redis.",
            "Name the column of a sink's rows that says whose they are, `tenant: COLUMN`, or take `redis` out.",
            "redis: { url: 'redis://h' }\nsinks:\n  c: { from: b, clickhouse: { url: 'http://h', table: t } }\n",
            "redis: { url: 'redis://h' }\nsinks:\n  c: { from: b, tenant: tenant, clickhouse: { url: 'http://h', table: t } }\n",
        ],
    ),
    warning(
        "one-table",
        "several topics and one table",
        [
            "A sink reads several topics, and its `table` has no `{topic}`.",
            "Rows of all of them go to one table.",
            "Give each topic its own table, `table: '{topic}'`, or a sink each; leave it where they hold the same rows.",
            "sinks:\n  c: { from: { topics: [a, b] }, clickhouse: { url: 'http://h', table: t } }\n",
            "sinks:\n  c: { from: { topics: [a, b] }, clickhouse: { url: 'http://h', table: '{topic}' } }\n",
        ],
    ),
    warning(
        "personal-passthrough",
        "a personal column that passes",
        [
            "The rule is `passthrough`, and the name says an address, a telephone number, a name or a day of birth.",
            "The column leaves as it came.",
            "If that is meant, leave it so; else `hmac`, `truncate`, `generalize` or `drop` it.",
            "steps: [dedup, { mask: { unlisted: drop, fields: { email: passthrough } } }]\n",
            "steps: [dedup, { mask: { unlisted: drop, fields: { email: hmac } } }]\n",
        ],
    ),
    warning(
        "phone-hash",
        "a hash that can be undone",
        [
            "There are few telephone numbers: whoever learns the secret can hash them all and look them up.",
            "The column leaves as its hash.",
            "`drop` it if nobody needs it; else keep the secret apart from the data.",
            "steps: [dedup, { mask: { unlisted: drop, fields: { phone: hash } } }]\n",
            "steps: [dedup, { mask: { unlisted: drop, fields: { phone: drop } } }]\n",
        ],
    ),
    warning(
        "short-secret",
        "a secret that can be guessed",
        [
            "The secret has fewer than 16 bytes: whoever has some hashes can try secrets until one fits.",
            "It is used as it stands.",
            "`openssl rand -hex 32` makes a good one; every pseudonym changes with it.",
            "secrets: { pii: tooshort }\n",
            "secrets: { pii: '${PII}' }\n",
        ],
    ),
    warning(
        "unlisted",
        "new columns pass",
        [
            "Columns without a rule pass as they are, which is the default: a column that somebody adds to the table leaks.",
            "Columns without a rule leave as they came.",
            "`unlisted: reject` stops such a row, `unlisted: drop` leaves the column out.",
            "steps: [dedup, { mask: { fields: { email: hash } } }]\n",
            "steps: [dedup, { mask: { unlisted: reject, fields: { email: hash } } }]\n",
        ],
    ),
    warning(
        "weak-generalize",
        "a day of birth that leaves",
        [
            "The day of birth together with a postcode and a sex is nearly as good as a name.",
            "The column leaves cut down as the rule says.",
            "`to: month`, better `to: year`.",
            "steps: [dedup, { mask: { unlisted: drop, fields: { birth_date: { rule: generalize, to: day } } } }]\n",
            "steps: [dedup, { mask: { unlisted: drop, fields: { birth_date: { rule: generalize, to: year } } } }]\n",
        ],
    ),
    warning(
        "weak-partial",
        "a text of which much is shown",
        [
            "The rule shows more than 6 characters: the ends of a telephone or card number that long belong to one person.",
            "The column leaves as the rule says, and never more than half of it.",
            "Show 4 at the end, which is what people know from receipts.",
            "steps: [dedup, { mask: { unlisted: drop, fields: { card: { rule: partial, keep_last: 9 } } } }]\n",
            "steps: [dedup, { mask: { unlisted: drop, fields: { card: partial } } }]\n",
        ],
    ),
    warning(
        "weak-prefix",
        "an address of a single household",
        [
            "With more than 24 bits of IPv4, or 64 of IPv6, few devices share what leaves, often those of one household.",
            "The column leaves as the rule says.",
            "Leave the lengths out: 24 and 48 bits stay.",
            "steps: [dedup, { mask: { unlisted: drop, fields: { ip: { rule: ip_prefix, v4: 32 } } } }]\n",
            "steps: [dedup, { mask: { unlisted: drop, fields: { ip: ip_prefix } } }]\n",
        ],
    ),
    scenario(
        "fixture",
        "a fixture that cannot be used",
        [
            "The file of captured records is not there, is not what a fixture is, or holds no topic that a stream reads.",
            "Paths start at the scenario's directory; `rename: { PREFIX: OTHER }` gives its topics other names.",
            "- fixture: captures.jsonl\n",
            "- fixture: { fixture: captures.jsonl, rename: { inventory.: brew.cdc. } }\n",
        ],
    ),
    scenario(
        "input",
        "neither a record nor a step",
        [
            "An item of `input` is neither a record nor something that happens, or lacks what it needs.",
            "A record has `topic`; steps are listed by `highwater topology test --help`.",
            "- rewind\n",
            "- rewind: { topic: brew.cdc.public.customers, offset: 0 }\n",
        ],
    ),
    scenario(
        "no-scenario",
        "a file that is no scenario",
        [
            "The file has neither `input` nor `expect`.",
            "Name files of scenarios, or a directory of them; a topology is checked by `topology validate`.",
            "highwater topology test topology.yaml",
            "highwater topology test tests/scenarios",
        ],
    ),
    scenario(
        "unknown-metric",
        "a metric that is not there",
        [
            "`expect: { metrics: … }` names a metric that Highwater does not have.",
            "The message has the nearest; `/metrics` of a running instance lists them.",
            "metrics: { highwater_record_in_total: 1 }\n",
            "metrics: { highwater_records_in_total: 1 }\n",
        ],
    ),
    scenario(
        "unknown-topic",
        "a topic that nobody reads",
        [
            "A record of `input` is written to a topic, or `partitions` names one, that no stream of the topology reads.",
            "Correct the name: the message has the nearest.",
            "- { topic: brew.cdc.public.custmers, key: { id: 1 } }\n",
            "- { topic: brew.cdc.public.customers, key: { id: 1 } }\n",
        ],
    ),
];
