//! The Debezium envelope, decoded as far as the engine needs it; rows stay raw bytes.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

use super::json::{self, Kind, Names};
use super::{BadRecord, Reason};

/// What a record's value turned out to be.
pub enum Decoded<'a> {
    Change(Change<'a>),
    /// Nothing leaves for it: counted by its name.
    Skip(Skip),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Skip {
    Tombstone,
    Truncate,
    Message,
}

impl Skip {
    pub const ALL: &'static [Skip] = &[Skip::Tombstone, Skip::Truncate, Skip::Message];

    pub fn as_str(self) -> &'static str {
        match self {
            Skip::Tombstone => "tombstone",
            Skip::Truncate => "truncate",
            Skip::Message => "message",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Create,
    Update,
    Delete,
    Read,
}

/// One change of one row.
pub struct Change<'a> {
    pub op: Op,
    /// `after` of c, u, r; `before` of d. A JSON object.
    pub row: &'a RawValue,
    pub source: Source<'a>,
}

/// `source`, as far as order and routing need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source<'a> {
    pub name: Cow<'a, str>,
    pub db: Cow<'a, str>,
    pub schema: Cow<'a, str>,
    pub table: Cow<'a, str>,
    pub snapshot: Snapshot,
    pub lsn: Option<u64>,
    /// `source.sequence`: the last commit before this transaction, and the LSN of the change.
    pub sequence: (Option<u64>, Option<u64>),
    /// Microseconds since 1970; from `ts_ms` where `ts_us` is missing.
    pub ts_us: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Snapshot {
    /// A streamed change.
    No,
    /// A read of the initial snapshot (true, first, last, first_in_data_collection, …).
    Initial,
    /// A read of an incremental snapshot.
    Incremental,
}

/// Decodes a value: a plain envelope, or one wrapped as `{schema, payload}`.
///
/// Whatever the bytes are, the answer is a change, a skip or a [`BadRecord`]: no input panics or exhausts the stack.
pub fn decode(value: Option<&[u8]>) -> Result<Decoded<'_>, BadRecord> {
    let Some(bytes) = value else { return Ok(Decoded::Skip(Skip::Tombstone)) };
    let top = Envelope::parse(json::utf8(bytes)?)?;
    match (top.op, top.schema, top.payload) {
        (None, Some(_), Some(payload)) => match Kind::of(payload.get()) {
            // A tombstone, as the converter writes it with schemas.enable.
            Kind::Null => Ok(Decoded::Skip(Skip::Tombstone)),
            _ => Envelope::parse(payload.get())?.decode(),
        },
        _ => top.decode(),
    }
}

/// The envelope's fields as raw text: one pass validates the whole value and finds them.
#[derive(Default)]
struct Envelope<'a> {
    op: Option<&'a RawValue>,
    before: Option<&'a RawValue>,
    after: Option<&'a RawValue>,
    source: Option<SourceObject<'a>>,
    schema: Option<&'a RawValue>,
    payload: Option<&'a RawValue>,
    duplicate: Option<String>,
}

impl<'a> Envelope<'a> {
    fn parse(text: &'a str) -> Result<Self, BadRecord> {
        if !text.trim_start().starts_with('{') {
            let kind = Kind::of(json::parse(text)?.get());
            return Err(BadRecord::new(Reason::NotEnvelope, format!("the value is {kind}, not an envelope")));
        }
        let envelope: Self = serde_json::from_str(text).map_err(|e| json::not_json(&e))?;
        match envelope.duplicate {
            Some(name) => Err(duplicate("the envelope", &name)),
            None => Ok(envelope),
        }
    }

    fn decode(self) -> Result<Decoded<'a>, BadRecord> {
        let op = match self.op.map(RawValue::get) {
            None | Some("null") => return Err(BadRecord::new(Reason::NotEnvelope, "the envelope has no op")),
            Some(op) => string("op", op)?,
        };
        let (op, row, field) = match &*op {
            "c" => (Op::Create, self.after, "after"),
            "u" => (Op::Update, self.after, "after"),
            "r" => (Op::Read, self.after, "after"),
            "d" => (Op::Delete, self.before, "before"),
            "t" => return Ok(Decoded::Skip(Skip::Truncate)),
            "m" => return Ok(Decoded::Skip(Skip::Message)),
            // What stands there could be anything, so it is not repeated.
            _ => return Err(BadRecord::new(Reason::UnknownOp, "op is none of c, u, r, d, t, m")),
        };
        let Some(SourceObject(Some(source))) = self.source else {
            return Err(BadRecord::new(Reason::NotEnvelope, "the envelope has no source object"));
        };
        let Some(row) = row.filter(|raw| Kind::of(raw.get()) == Kind::Object) else {
            let what = row.map_or("missing".to_string(), |raw| Kind::of(raw.get()).to_string());
            return Err(BadRecord::new(Reason::MissingRow, format!("{field} is {what}, not a row")));
        };
        Ok(Decoded::Change(Change { op, row, source: source.decode()? }))
    }
}

impl<'de> Deserialize<'de> for Envelope<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Envelope<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an envelope")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut envelope = Envelope::default();
                let mut others = Names::default();
                while let Some(Name(name)) = map.next_key()? {
                    let slot = match &*name {
                        "op" => &mut envelope.op,
                        "before" => &mut envelope.before,
                        "after" => &mut envelope.after,
                        "source" => {
                            if envelope.source.replace(map.next_value()?).is_some() {
                                envelope.duplicate = Some(name.into_owned());
                            }
                            continue;
                        }
                        "schema" => &mut envelope.schema,
                        "payload" => &mut envelope.payload,
                        _ => {
                            if !others.insert(name.clone()) {
                                envelope.duplicate = Some(name.into_owned());
                            }
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value()?).is_some() {
                        envelope.duplicate = Some(name.into_owned());
                    }
                }
                Ok(envelope)
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A field's name, borrowed unless it has escapes (serde's own `Cow` never borrows).
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// `source` as it is met inside of the envelope; None where it is no object.
struct SourceObject<'a>(Option<SourceFields<'a>>);

/// The fields of `source` that are read, as raw text.
#[derive(Default)]
struct SourceFields<'a> {
    name: Option<&'a RawValue>,
    db: Option<&'a RawValue>,
    schema: Option<&'a RawValue>,
    table: Option<&'a RawValue>,
    snapshot: Option<&'a RawValue>,
    lsn: Option<&'a RawValue>,
    sequence: Option<&'a RawValue>,
    ts_us: Option<&'a RawValue>,
    ts_ms: Option<&'a RawValue>,
    duplicate: Option<String>,
}

impl<'de> Deserialize<'de> for SourceObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = SourceObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a source object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = SourceFields::default();
                let mut others = Names::default();
                while let Some(Name(name)) = map.next_key()? {
                    let slot = match &*name {
                        "name" => &mut fields.name,
                        "db" => &mut fields.db,
                        "schema" => &mut fields.schema,
                        "table" => &mut fields.table,
                        "snapshot" => &mut fields.snapshot,
                        "lsn" => &mut fields.lsn,
                        "sequence" => &mut fields.sequence,
                        "ts_us" => &mut fields.ts_us,
                        "ts_ms" => &mut fields.ts_ms,
                        _ => {
                            if !others.insert(name.clone()) {
                                fields.duplicate = Some(name.into_owned());
                            }
                            map.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    if slot.replace(map.next_value()?).is_some() {
                        fields.duplicate = Some(name.into_owned());
                    }
                }
                Ok(SourceObject(Some(fields)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(SourceObject(None))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(SourceObject(None))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(SourceObject(None))
            }

            fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
                Ok(SourceObject(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(SourceObject(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(SourceObject(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(SourceObject(None))
            }
        }
        deserializer.deserialize_any(Fields)
    }
}

impl<'a> SourceFields<'a> {
    fn decode(self) -> Result<Source<'a>, BadRecord> {
        if let Some(name) = &self.duplicate {
            return Err(duplicate("source", name));
        }
        Ok(Source {
            name: name("source.name", present(self.name))?,
            db: name("source.db", present(self.db))?,
            schema: name("source.schema", present(self.schema))?,
            table: name("source.table", present(self.table))?,
            snapshot: snapshot(present(self.snapshot))?,
            lsn: present(self.lsn).map(|raw| position("source.lsn", raw)).transpose()?,
            sequence: sequence(present(self.sequence))?,
            ts_us: micros(present(self.ts_us), present(self.ts_ms))?,
        })
    }
}

fn present(raw: Option<&RawValue>) -> Option<&str> {
    raw.map(RawValue::get).filter(|raw| *raw != "null")
}

fn wrong_type(field: &str, raw: &str, wanted: &str) -> BadRecord {
    BadRecord::new(Reason::WrongType, format!("{field} is {}, not {wanted}", Kind::of(raw)))
}

fn duplicate(place: &str, name: &str) -> BadRecord {
    BadRecord::new(Reason::DuplicateField, format!("{place} names {} twice", json::shown(name)))
}

fn surrogate(what: &str) -> BadRecord {
    BadRecord::new(Reason::NotJson, format!("{what} holds half a surrogate pair"))
}

fn string<'a>(field: &str, raw: &'a str) -> Result<Cow<'a, str>, BadRecord> {
    let quoted = json::quoted(raw).ok_or_else(|| wrong_type(field, raw, "a string"))?;
    json::text(quoted).map_err(|_| surrogate(field))
}

fn name<'a>(field: &str, raw: Option<&'a str>) -> Result<Cow<'a, str>, BadRecord> {
    raw.map_or(Ok(Cow::Borrowed("")), |raw| string(field, raw))
}

fn snapshot(raw: Option<&str>) -> Result<Snapshot, BadRecord> {
    let Some(raw) = raw else { return Ok(Snapshot::No) };
    Ok(match (raw, Kind::of(raw)) {
        ("false", _) => Snapshot::No,
        ("true", _) => Snapshot::Initial,
        (_, Kind::Text) => match &*string("source.snapshot", raw)? {
            "false" => Snapshot::No,
            "incremental" => Snapshot::Incremental,
            _ => Snapshot::Initial,
        },
        _ => return Err(wrong_type("source.snapshot", raw, "a boolean or a string")),
    })
}

fn position(field: &str, digits: &str) -> Result<u64, BadRecord> {
    let is_digits = digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(lsn) if is_digits => Ok(lsn),
        _ => Err(BadRecord::new(Reason::WrongType, format!("{field} is not a whole number from 0 to 2^64-1"))),
    }
}

/// `["lastCommit","lsn"]` inside of a JSON string; either may be null.
fn sequence(raw: Option<&str>) -> Result<(Option<u64>, Option<u64>), BadRecord> {
    const FIELD: &str = "source.sequence";
    let Some(raw) = raw else { return Ok((None, None)) };
    if let Some(pair) = usual_sequence(raw) {
        return Ok(pair);
    }
    let list = string(FIELD, raw)?;
    let wrong = || BadRecord::new(Reason::WrongType, format!("{FIELD} is not a list of two positions"));
    let list = json::parse(&list).map_err(|_| wrong())?.get();
    if Kind::of(list) != Kind::Array {
        return Err(wrong());
    }
    let mut elements = json::members(list);
    let mut element = || -> Result<Option<u64>, BadRecord> {
        let raw = elements.next().ok_or_else(wrong)??.value;
        if raw == "null" { Ok(None) } else { position(FIELD, &string(FIELD, raw)?).map(Some) }
    };
    let pair = (element()?, element()?);
    if elements.next().is_some() { Err(wrong()) } else { Ok(pair) }
}

/// The sequence as Debezium spells it, read without decoding the string first. None: spelled otherwise.
fn usual_sequence(raw: &str) -> Option<(Option<u64>, Option<u64>)> {
    fn element(text: &str) -> Option<(Option<u64>, &str)> {
        if let Some(rest) = text.strip_prefix("null") {
            return Some((None, rest));
        }
        let (digits, rest) = text.strip_prefix("\\\"")?.split_once('\\')?;
        Some((Some(position("", digits).ok()?), rest.strip_prefix('"')?))
    }
    let (commit, rest) = element(raw.strip_prefix("\"[")?)?;
    let (lsn, rest) = element(rest.strip_prefix(',')?)?;
    (rest == "]\"").then_some((commit, lsn))
}

fn micros(ts_us: Option<&str>, ts_ms: Option<&str>) -> Result<Option<i64>, BadRecord> {
    let time = |field: &str, raw: &str, factor: i64| {
        let micros = raw.parse::<i64>().ok().and_then(|time| time.checked_mul(factor));
        micros.ok_or_else(|| BadRecord::new(Reason::WrongType, format!("{field} is not a time in whole units")))
    };
    match (ts_us, ts_ms) {
        (Some(us), _) => time("source.ts_us", us, 1).map(Some),
        (None, Some(ms)) => time("source.ts_ms", ms, 1000).map(Some),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"{"name":"lab.cdc","db":"brew","schema":"public","table":"people","snapshot":"false","lsn":9,
        "sequence":"[\"5\",\"9\"]","ts_us":1795214450883116,"ts_ms":1,"xmin":null}"#;

    fn change(text: &str) -> Change<'_> {
        match decode(Some(text.as_bytes())) {
            Ok(Decoded::Change(change)) => change,
            Ok(Decoded::Skip(skip)) => panic!("{text}: {skip:?}"),
            Err(bad) => panic!("{text}: {bad}"),
        }
    }

    fn bad(value: &[u8]) -> BadRecord {
        match decode(Some(value)) {
            Err(bad) => bad,
            Ok(_) => panic!("{} passes", String::from_utf8_lossy(value)),
        }
    }

    fn skip(value: Option<&str>) -> Skip {
        match decode(value.map(str::as_bytes)) {
            Ok(Decoded::Skip(skip)) => skip,
            _ => panic!("{value:?} is no skip"),
        }
    }

    fn with_source(fields: &str) -> String {
        format!(r#"{{"op":"c","after":{{}},"source":{{{fields}}}}}"#)
    }

    fn source(fields: &str) -> Source<'static> {
        let text = with_source(fields);
        let Source { name, db, schema, table, snapshot, lsn, sequence, ts_us } = change(&text).source;
        let own = |name: Cow<'_, str>| Cow::Owned(name.into_owned());
        let (name, db, schema, table) = (own(name), own(db), own(schema), own(table));
        Source { name, db, schema, table, snapshot, lsn, sequence, ts_us }
    }

    #[test]
    fn the_row_is_after_or_before_and_keeps_its_bytes() {
        for (op, expected, row) in [
            ("c", Op::Create, "{ \"a\" : 2 }"),
            ("u", Op::Update, "{ \"a\" : 2 }"),
            ("r", Op::Read, "{ \"a\" : 2 }"),
            ("d", Op::Delete, "{ \"a\" : 1 }"),
            ("\\u0064", Op::Delete, "{ \"a\" : 1 }"),
        ] {
            let plain = format!(
                r#" {{"before":{{ "a" : 1 }},"after": {{ "a" : 2 }} ,"source":{SOURCE},"transaction":null,"op":"{op}"}} "#
            );
            for text in [plain.clone(), format!(r#"{{"schema":{{"fields":[]}},"payload":{plain}}}"#)] {
                let change = change(&text);
                assert_eq!((change.op, change.row.get()), (expected, row));
                let source = Source {
                    name: "lab.cdc".into(),
                    db: "brew".into(),
                    schema: "public".into(),
                    table: "people".into(),
                    snapshot: Snapshot::No,
                    lsn: Some(9),
                    sequence: (Some(5), Some(9)),
                    ts_us: Some(1795214450883116),
                };
                assert_eq!(change.source, source);
            }
        }
    }

    #[test]
    fn usual_names_are_borrowed() {
        let text = with_source(r#""name":"a","table":"t\u0061""#);
        let source = change(&text).source;
        assert!(matches!(source.name, Cow::Borrowed("a")));
        assert_eq!(source.table, "ta");
    }

    #[test]
    fn skips() {
        assert_eq!(skip(None), Skip::Tombstone);
        assert_eq!(skip(Some(r#"{"schema":null,"payload":null}"#)), Skip::Tombstone);
        assert_eq!(skip(Some(r#"{"op":"t","source":{},"before":null,"after":null}"#)), Skip::Truncate);
        assert_eq!(skip(Some(r#"{"op":"m","source":{},"message":{"prefix":"p"}}"#)), Skip::Message);
        assert_eq!(skip(Some(r#"{"schema":{},"payload":{"op":"t"}}"#)), Skip::Truncate);
    }

    #[test]
    fn what_is_no_change() {
        use Reason::*;
        for (value, reason, detail) in [
            ("", NotJson, "ends early"),
            (" ", NotJson, "ends early"),
            ("secret", NotJson, "not JSON at line 1, column 1"),
            ("{\"op\":\"c\"", NotJson, "ends early"),
            ("{\"op\":secret}", NotJson, "line 1, column 7"),
            ("{\"op\":\"c\",\"after\":{\"a\":secret},\"source\":{}}", NotJson, "column 24"),
            ("{\"op\":\"c\",\"after\":{},\"source\":{}} secret", NotJson, "column 35"),
            ("{\"op\":\"c\",\"after\":{},\"source\":{}}{}", NotJson, "column 34"),
            ("{\"secret\\ud83d\":1}", NotJson, "line 1"),
            ("[1] x", NotJson, "not JSON"),
            ("null", NotEnvelope, "the value is null"),
            ("\"secret\"", NotEnvelope, "a string"),
            ("[]", NotEnvelope, "an array"),
            ("7", NotEnvelope, "a number"),
            ("{}", NotEnvelope, "no op"),
            ("{\"ts_ms\":1}", NotEnvelope, "no op"),
            ("{\"op\":null,\"after\":{},\"source\":{}}", NotEnvelope, "no op"),
            ("{\"payload\":{\"op\":\"t\"}}", NotEnvelope, "no op"),
            ("{\"schema\":{},\"payload\":[]}", NotEnvelope, "an array"),
            ("{\"schema\":1,\"payload\":{\"schema\":1,\"payload\":{\"op\":\"t\"}}}", NotEnvelope, "no op"),
            ("{\"op\":\"c\",\"after\":{}}", NotEnvelope, "no source"),
            ("{\"op\":\"d\",\"before\":{},\"source\":[]}", NotEnvelope, "no source"),
            ("{\"op\":\"c\",\"after\":{},\"source\":null}", NotEnvelope, "no source"),
            ("{\"op\":\"c\",\"after\":{},\"source\":true}", NotEnvelope, "no source"),
            ("{\"op\":\"c\",\"after\":{},\"source\":-1.5}", NotEnvelope, "no source"),
            ("{\"op\":\"c\",\"after\":{},\"source\":7}", NotEnvelope, "no source"),
            ("{\"op\":\"c\",\"after\":{},\"source\":-7}", NotEnvelope, "no source"),
            ("{\"op\":\"c\",\"after\":{},\"source\":\"secret\"}", NotEnvelope, "no source"),
            ("{\"op\":\"c\",\"after\":{},\"source\":[1,[2]]}", NotEnvelope, "no source"),
            ("{\"op\":\"c\",\"after\":{},\"source\":{},\"source\":1}", DuplicateField, "`source`"),
            ("{\"op\":5,\"after\":{},\"source\":{}}", WrongType, "op is a number"),
            ("{\"op\":\"secret\",\"after\":{},\"source\":{}}", UnknownOp, "op is none of"),
            ("{\"op\":\"C\",\"after\":{},\"source\":{}}", UnknownOp, "op is none of"),
            ("{\"op\":\"\\ud83d\"}", NotJson, "op holds half a surrogate pair"),
            ("{\"op\":\"c\",\"before\":{},\"source\":{}}", MissingRow, "after is missing"),
            ("{\"op\":\"u\",\"after\":null,\"source\":{}}", MissingRow, "after is null"),
            ("{\"op\":\"r\",\"after\":\"secret\",\"source\":{}}", MissingRow, "after is a string"),
            ("{\"op\":\"d\",\"before\":[],\"after\":{},\"source\":{}}", MissingRow, "before is an array"),
            ("{\"op\":\"c\",\"op\":\"d\",\"after\":{},\"source\":{}}", DuplicateField, "envelope names `op` twice"),
            ("{\"op\":\"c\",\"\\u006fp\":\"c\",\"after\":{},\"source\":{}}", DuplicateField, "`op`"),
            ("{\"op\":\"c\",\"after\":{},\"after\":{},\"source\":{}}", DuplicateField, "`after`"),
            ("{\"op\":\"c\",\"after\":{},\"source\":{},\"x\":1,\"x\":2}", DuplicateField, "`x`"),
            ("{\"schema\":{},\"payload\":null,\"payload\":null}", DuplicateField, "`payload`"),
        ] {
            let bad = bad(value.as_bytes());
            assert_eq!(bad.reason, reason, "{value}: {bad}");
            assert!(bad.detail.contains(detail) && !bad.detail.contains("secret"), "{value}: {bad}");
        }
        let text = with_source(r#""name":"é""#);
        let cut = text.find('é').unwrap() + 1;
        let mut bytes = text.into_bytes();
        bytes[cut] = b'x';
        assert_eq!(bad(&bytes).reason, Reason::NotJson);
        assert_eq!(bad(b"\xef\xbb\xbf{}").reason, Reason::NotJson);
    }

    #[test]
    fn wrong_types_in_source_name_the_field() {
        for (fields, field) in [
            (r#""name":1"#, "source.name"),
            (r#""db":["secret"]"#, "source.db"),
            (r#""schema":true"#, "source.schema"),
            (r#""table":{}"#, "source.table"),
            (r#""snapshot":1"#, "source.snapshot"),
            (r#""snapshot":[]"#, "source.snapshot"),
            (r#""lsn":-1"#, "source.lsn"),
            (r#""lsn":"secret""#, "source.lsn"),
            (r#""lsn":1.0"#, "source.lsn"),
            (r#""lsn":1e3"#, "source.lsn"),
            (r#""lsn":18446744073709551616"#, "source.lsn"),
            (r#""sequence":["1","2"]"#, "source.sequence"),
            (r#""sequence":"secret""#, "source.sequence"),
            (r#""sequence":"""#, "source.sequence"),
            (r#""sequence":"{}""#, "source.sequence"),
            (r#""sequence":"[]""#, "source.sequence"),
            (r#""sequence":"[\"1\"]""#, "source.sequence"),
            (r#""sequence":"[\"1\",\"2\",\"3\"]""#, "source.sequence"),
            (r#""sequence":"[\"1\",2]""#, "source.sequence"),
            (r#""sequence":"[\"-1\",\"2\"]""#, "source.sequence"),
            (r#""sequence":"[\"+1\",\"2\"]""#, "source.sequence"),
            (r#""sequence":"[\"\",\"2\"]""#, "source.sequence"),
            (r#""sequence":"[\"1\",\"2\"] x""#, "source.sequence"),
            (r#""ts_us":"1""#, "source.ts_us"),
            (r#""ts_us":1.5"#, "source.ts_us"),
            (r#""ts_ms":9223372036854775807"#, "source.ts_ms"),
            (r#""ts_ms":true"#, "source.ts_ms"),
        ] {
            let bad = bad(with_source(fields).as_bytes());
            assert_eq!(bad.reason, Reason::WrongType, "{fields}: {bad}");
            assert!(bad.detail.starts_with(field) && !bad.detail.contains("secret"), "{fields}: {bad}");
        }
        for fields in [r#""lsn":1,"lsn":1"#, r#""x":1,"\u0078":1"#, r#""table":"a","t\u0061ble":"b""#] {
            assert_eq!(bad(with_source(fields).as_bytes()).reason, Reason::DuplicateField, "{fields}");
        }
        assert_eq!(bad(with_source(r#""table":"\ud83d""#).as_bytes()).reason, Reason::NotJson);
    }

    #[test]
    fn source_fields() {
        let empty = source("");
        assert_eq!((&*empty.name, &*empty.db, &*empty.schema, &*empty.table), ("", "", "", ""));
        assert_eq!((empty.snapshot, empty.lsn, empty.sequence, empty.ts_us), (Snapshot::No, None, (None, None), None));
        assert_eq!(
            source(r#""name":null,"lsn":null,"sequence":null,"snapshot":null,"ts_us":null,"ts_ms":null"#),
            empty
        );
        assert_eq!(source(r#""name":"\u0061\"b""#).name, "a\"b");
        assert_eq!(source(r#""lsn":18446744073709551615"#).lsn, Some(u64::MAX));

        for (raw, expected) in [
            ("false", Snapshot::No),
            ("\"false\"", Snapshot::No),
            ("\"f\\u0061lse\"", Snapshot::No),
            ("true", Snapshot::Initial),
            ("\"true\"", Snapshot::Initial),
            ("\"first\"", Snapshot::Initial),
            ("\"last_in_data_collection\"", Snapshot::Initial),
            ("\"incremental\"", Snapshot::Incremental),
        ] {
            assert_eq!(source(&format!(r#""snapshot":{raw}"#)).snapshot, expected, "{raw}");
        }
        for (raw, expected) in [
            (r#"[\"24023119\",\"24023128\"]"#, (Some(24023119), Some(24023128))),
            (r#"[null,\"7\"]"#, (None, Some(7))),
            (r#"[\"7\",null]"#, (Some(7), None)),
            (r#"[null,null]"#, (None, None)),
            (r#" [ \"7\" , \"\u0038\" ] "#, (Some(7), Some(8))),
            (r#"[\u00227\u0022,null]"#, (Some(7), None)),
        ] {
            assert_eq!(source(&format!(r#""sequence":"{raw}""#)).sequence, expected, "{raw}");
        }
        for (fields, expected) in [
            (r#""ts_us":5,"ts_ms":1"#, Some(5)),
            (r#""ts_us":null,"ts_ms":7"#, Some(7000)),
            (r#""ts_ms":-7"#, Some(-7000)),
            (r#""ts_us":-9223372036854775808"#, Some(i64::MIN)),
        ] {
            assert_eq!(source(fields).ts_us, expected, "{fields}");
        }
    }

    /// On a thread with the smallest stack a platform gives, so that recursion would show.
    #[test]
    fn depth_never_panics() {
        let deep = || {
            let open = "[".repeat(1 << 20);
            let nested = open.clone() + &"]".repeat(1 << 20);
            let objects = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
            for value in [&nested, &objects] {
                let text =
                    format!(r#"{{"before":{value},"op":"c","x":{value},"after":{{"a":{value}}},"source":{SOURCE}}}"#);
                assert_eq!(change(&text).row.get().len(), value.len() + 6);
                assert_eq!(bad(with_source(&format!("\"lsn\":{value}")).as_bytes()).reason, Reason::WrongType);
                change(&with_source(&format!("\"other\":{value}")));
            }
            assert_eq!(bad(nested.as_bytes()).reason, Reason::NotEnvelope);
            assert_eq!(bad(objects.as_bytes()).reason, Reason::NotEnvelope);
            let wrapped = "{\"schema\":1,\"payload\":".repeat(50_000) + "{}" + &"}".repeat(50_000);
            assert_eq!(bad(wrapped.as_bytes()).reason, Reason::NotEnvelope);
            for text in
                [open.clone(), format!("{{\"after\":{open}"), format!("{{\"op\":\"c\",\"before\":{{\"a\":{open}}}}}")]
            {
                assert_eq!(bad(text.as_bytes()).reason, Reason::NotJson);
            }
            let quoted = format!(r#""sequence":"{nested}""#);
            assert_eq!(bad(with_source(&quoted).as_bytes()).reason, Reason::WrongType);
        };
        std::thread::Builder::new().stack_size(256 << 10).spawn(deep).unwrap().join().unwrap();
    }

    /// Every cut and every changed byte of a real envelope: an answer, never a panic.
    #[test]
    fn damaged_envelopes_never_panic() {
        let text = format!(r#"{{"before":null,"after":{{"a":"x\u00e9","b":[1,{{}}]}},"source":{SOURCE},"op":"u"}}"#);
        for cut in 0..text.len() {
            assert_eq!(bad(&text.as_bytes()[..cut]).reason, Reason::NotJson);
        }
        for at in 0..text.len() {
            for byte in [0, b'"', b'\\', b'{', b']', b',', b':', b'1', b'-', 0xff] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = byte;
                let _ = decode(Some(&bytes));
            }
        }
    }
}
