//! What a table is, as the server tells it: its columns, its engine, how many inserts it remembers.

use serde_json::{Map, Value};

use super::UnknownColumns;
use super::client::{Server, Trouble};
use super::layout::{Layout, names};
use super::types::Type;
use crate::record::BadRecord;
use crate::record::json::{self, Kind};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    pub database: String,
    pub name: String,
    /// Those that an insert may name.
    columns: Vec<(String, String)>,
    engine: String,
    pub dedup: Dedup,
}

/// What becomes of an insert that comes twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dedup {
    /// One of the last so many is dropped.
    Window(u64),
    /// It comes twice. Why.
    None(String),
}

/// Why rows cannot be written to a table as it is.
#[derive(Debug)]
pub enum Refusal {
    Bad(BadRecord),
    /// Columns that it does not have, or whose types are not written to; said to people.
    Table {
        said: String,
        missing: Vec<(String, &'static str)>,
    },
}

impl From<BadRecord> for Refusal {
    fn from(bad: BadRecord) -> Self {
        Refusal::Bad(bad)
    }
}

impl Table {
    /// None: there is no such table.
    pub fn find(server: &dyn Server, database: &str, name: &str) -> Result<Option<Table>, Trouble> {
        let place = [("database", database), ("table", name)];
        let sql = "SELECT engine, create_table_query FROM system.tables WHERE database = {database:String} AND name = {table:String}";
        let rows = server.query(sql, &place)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let (engine, definition) = (text(row, "engine"), text(row, "create_table_query"));
        let sql = "SELECT name, type, default_kind FROM system.columns \
                   WHERE database = {database:String} AND table = {table:String} ORDER BY position";
        let columns = server.query(sql, &place)?;
        let written = |row: &&Map<String, Value>| !matches!(&*text(row, "default_kind"), "MATERIALIZED" | "ALIAS");
        let columns = columns.iter().filter(written).map(|row| (text(row, "name"), text(row, "type"))).collect();
        let dedup = dedup(server, &engine, &definition)?;
        Ok(Some(Table { database: database.into(), name: name.into(), columns, engine, dedup }))
    }

    pub fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    /// As the server writes it; empty for a column that it does not have.
    pub fn type_of(&self, column: &str) -> &str {
        self.columns.iter().find(|(name, _)| name == column).map_or("", |(_, ty)| ty)
    }

    /// Makes the table remember at least so many inserts, where it can.
    pub fn widen(&mut self, server: &dyn Server, window: u64) -> Result<(), Trouble> {
        let kept = match self.dedup {
            Dedup::Window(kept) if kept < window && !self.is_replicated() => kept,
            Dedup::None(_) if self.is_merge_tree() && !self.is_replicated() => 0,
            _ => return Ok(()),
        };
        let sql =
            format!("ALTER TABLE {} MODIFY SETTING non_replicated_deduplication_window = {window}", self.quoted());
        match server.command(&sql) {
            Ok(()) => {
                tracing::info!(
                    table = self.full_name(),
                    from = kept,
                    to = window,
                    "its deduplication window was widened"
                );
                self.dedup = Dedup::Window(window);
                Ok(())
            }
            Err(Trouble::Unknown(text)) => Err(Trouble::Unknown(text)),
            Err(Trouble::Refused { text, .. }) if kept == 0 => {
                self.dedup = Dedup::None(format!("it has no deduplication window, and must not be given one: {text}"));
                Ok(())
            }
            Err(Trouble::Refused { .. }) => Ok(()),
        }
    }

    fn is_merge_tree(&self) -> bool {
        self.engine.ends_with("MergeTree")
    }

    fn is_replicated(&self) -> bool {
        self.engine.starts_with("Replicated") || self.engine.starts_with("Shared")
    }

    /// As SQL has it.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quoted(&self.database), quoted(&self.name))
    }

    /// Where the columns of rows like this one go.
    pub fn layout(&self, row: &str, unknown: UnknownColumns) -> Result<Layout, Refusal> {
        let mut columns = Vec::new();
        let (mut missing, mut unsupported) = (Vec::new(), Vec::new());
        for name in names(row)? {
            let ty = match self.columns.iter().find(|(own, _)| *own == name) {
                Some((_, text)) => match Type::parse(text) {
                    Some(ty) => Some(ty),
                    None => {
                        unsupported.push(format!("{} is of type {text}, which is not written to", json::shown(&name)));
                        None
                    }
                },
                None => {
                    missing.push(name.clone());
                    None
                }
            };
            columns.push((name, ty));
        }
        let missing = match unknown {
            UnknownColumns::Ignore => Vec::new(),
            UnknownColumns::Wait | UnknownColumns::Add => suited(row, missing, unknown),
        };
        if missing.is_empty() && unsupported.is_empty() {
            return Ok(Layout::new(columns));
        }
        let lacks = missing.iter().map(|(name, ty)| {
            format!(
                "it has no column {}: ALTER TABLE {} ADD COLUMN {} {ty}",
                json::shown(name),
                self.quoted(),
                quoted(name)
            )
        });
        let said = lacks.chain(unsupported).collect::<Vec<_>>().join("; ");
        Err(Refusal::Table { said: format!("table {}: {said}", self.full_name()), missing })
    }

    /// The layout of a plan: exactly these columns of rows like this one.
    pub fn layout_of(&self, row: &str, planned: &[String]) -> Result<Layout, Refusal> {
        let mut columns = Vec::new();
        for name in names(row)? {
            let known = self.columns.iter().find(|(own, _)| *own == name);
            let ty = known.filter(|_| planned.contains(&name)).and_then(|(_, text)| Type::parse(text));
            columns.push((name, ty));
        }
        let layout = Layout::new(columns);
        match layout.written() == planned {
            true => Ok(layout),
            false => {
                let said =
                    format!("table {} does not have the columns any more: {}", self.full_name(), planned.join(", "));
                Err(Refusal::Table { said, missing: Vec::new() })
            }
        }
    }

    pub fn add_columns(&self, server: &dyn Server, columns: &[(String, &'static str)]) -> Result<(), Trouble> {
        for (name, ty) in columns {
            let sql = format!("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {} {ty}", self.quoted(), quoted(name));
            server.command(&sql)?;
            tracing::warn!(
                table = self.full_name(),
                column = name,
                r#type = ty,
                "a column was added, because rows have it"
            );
        }
        Ok(())
    }
}

/// The types that missing columns would have, by their first values. One that is null tells nothing; it may come later.
fn suited(row: &str, missing: Vec<String>, unknown: UnknownColumns) -> Vec<(String, &'static str)> {
    let value =
        |name: &str| json::members(row).flatten().find(|member| member.is_named(name)).map_or("null", |m| m.value);
    let ty = |value: &str| match Kind::of(value) {
        Kind::Null if unknown == UnknownColumns::Add => None,
        Kind::Number if value.parse::<i64>().is_ok() => Some("Nullable(Int64)"),
        Kind::Number => Some("Nullable(Float64)"),
        Kind::Bool => Some("Nullable(Bool)"),
        _ => Some("Nullable(String)"),
    };
    missing.into_iter().filter_map(|name| ty(value(&name)).map(|ty| (name, ty))).collect()
}

fn dedup(server: &dyn Server, engine: &str, definition: &str) -> Result<Dedup, Trouble> {
    if !engine.ends_with("MergeTree") {
        return Ok(Dedup::None(format!("its engine {engine} knows no deduplication")));
    }
    let replicated = engine.starts_with("Replicated") || engine.starts_with("Shared");
    let setting = if replicated { "replicated_deduplication_window" } else { "non_replicated_deduplication_window" };
    let own = definition
        .rsplit_once(setting)
        .and_then(|(_, rest)| rest.trim_start_matches([' ', '=']).split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|digits| digits.parse().ok());
    let window: u64 = match own {
        Some(window) => window,
        None => {
            let sql = "SELECT value FROM system.merge_tree_settings WHERE name = {name:String}";
            let rows = server.query(sql, &[("name", setting)])?;
            rows.first().and_then(|row| text(row, "value").parse().ok()).unwrap_or(0)
        }
    };
    Ok(match window {
        0 => Dedup::None(format!("its {setting} is 0, or the server is too old to have one")),
        window => Dedup::Window(window),
    })
}

fn text(row: &Map<String, Value>, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

/// A name as SQL has it.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

#[cfg(test)]
impl Table {
    /// One that remembers.
    pub fn of(database: &str, name: &str, columns: &[(&str, &str)]) -> Self {
        let columns = columns.iter().map(|(name, ty)| ((*name).to_owned(), (*ty).to_owned())).collect();
        let dedup = Dedup::Window(100);
        Self { database: database.into(), name: name.into(), columns, engine: "MergeTree".into(), dedup }
    }
}
