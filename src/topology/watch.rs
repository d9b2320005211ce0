//! Other systems beside the log: Redis, which is told of tenants, and Postgres, whose replication slots are watched. A test
//! of a topology has neither.

use std::time::Duration;

use super::language;
use super::reader::{Fields, Reader};
use super::secrets::read_password;
use super::units::duration;
use super::{Mode, Sink};
use crate::connectors::{postgres, redis};
use crate::record::Secret;

const KEY: &str = "cdc:last_sync:{tenant}";
const INTERVAL: Duration = Duration::from_secs(10);

pub(super) fn read_redis(reader: &mut Reader<'_>, top: Fields<'_>, sinks: &[Sink]) -> Option<redis::Config> {
    let section = top.get("redis").filter(|_| reader.mode != Mode::Test)?;
    let fields = reader.fields(&section.value, section.key_span, "`redis`", language::REDIS.names)?;
    let check = |url: &str| redis::check_url(url).map(|()| false);
    let url = read_url(reader, fields, "for example `url: redis://localhost:6379`", "a Redis", check);
    let user = fields.get("user").and_then(|entry| reader.text(&entry.value, entry.key_span, "`user`"));
    let password = read_password(reader, fields);
    let key = match fields.get("key") {
        Some(entry) => {
            reader.parsed(&entry.value, entry.key_span, "`key`", |text| match text.matches(redis::TENANT).count() {
                1 => Ok(text.to_owned()),
                _ => Err(format!("expected one `{}` in it, as in {KEY}", redis::TENANT)),
            })
        }
        None => Some(KEY.to_owned()),
    };
    if sinks.iter().all(|sink| sink.tenant.is_none()) {
        let (message, label) = ("nothing is written to Redis", "no sink says whose its rows are: `tenant: COLUMN`");
        reader.warn("no-tenant", section.key_span, message, label);
    }
    Some(redis::Config { url: url?, user: user.map(|text| text.text), password, key: key? })
}

pub(super) fn read_postgres(reader: &mut Reader<'_>, top: Fields<'_>) -> Option<postgres::slots::Config> {
    let section = top.get("postgres").filter(|_| reader.mode != Mode::Test)?;
    let fields = reader.fields(&section.value, section.key_span, "`postgres`", language::POSTGRES.names)?;
    let example = "for example `url: ${DATABASE_URL}`";
    let url = read_url(reader, fields, example, "a database", postgres::check_url);
    let password = read_password(reader, fields);
    let slots = fields.get("slots").and_then(|entry| {
        let items = reader.seq(&entry.value, entry.key_span, "`slots`")?;
        let text = |reader: &mut Reader<'_>, item| reader.text(item, entry.key_span, "a slot");
        Some(items.iter().filter_map(|item| Some(text(reader, item)?.text)).collect())
    });
    let interval = match fields.get("interval") {
        Some(entry) => reader.parsed(&entry.value, entry.key_span, "`interval`", |text| match duration(text)? {
            time if time < Duration::from_secs(1) => Err("at least 1s".into()),
            time => Ok(time),
        }),
        None => Some(INTERVAL),
    };
    let interval = interval.unwrap_or(INTERVAL);
    Some(postgres::slots::Config { url: Secret::new(url?), password, slots: slots.unwrap_or_default(), interval })
}

/// The address of a system; `check` tells whether a password stands in it. No message repeats one that is wrong: it may hold a
/// password.
fn read_url(
    reader: &mut Reader<'_>,
    fields: Fields<'_>,
    example: &str,
    system: &str,
    check: impl Fn(&str) -> Result<bool, String>,
) -> Option<String> {
    let entry = fields.require(reader, "url", example)?;
    let text = reader.text(&entry.value, entry.key_span, "`url`")?;
    match check(text.text.trim()) {
        Ok(has_password) => {
            if has_password && text.literal {
                let label = "take it from outside: `url: ${DATABASE_URL}`, or `password: ${NAME}`";
                reader.warn("literal-secret", text.span, "a password stands in the file itself", label);
            }
            Some(text.text.trim().to_owned())
        }
        Err(_) if text.placeholder => Some(text.text),
        Err(label) => {
            reader.error("bad-value", text.span, format!("`url` is no address of {system}"), label);
            None
        }
    }
}
