//! ClickHouse: rows of JSON as it takes them, exactly.
//!
//! Left to itself, ClickHouse damages in silence what does not fit a column: 3000000000 in an Int32 becomes -1294967296, a null
//! in a plain column its default, an unknown field nothing. So rows are checked here, column by column, and sent as
//! RowBinary, which leaves the server nothing to guess.
//!
//! ```text
//! row of JSON ─▶ layout (which columns, in which order) ─▶ value (by the column's type) ─▶ RowBinary ─▶ client
//! ```

pub mod client;
pub mod ddl;
mod decimal;
pub mod layout;
pub mod table;
mod times;
pub mod types;
mod value;

use std::time::Duration;

use crate::record::Secret;

/// How a sink reaches its server, and how it cuts its batches.
#[derive(Debug, Clone)]
pub struct Config {
    pub url: String,
    pub database: String,
    /// May hold `{name}` of the source pattern's named groups.
    pub table: String,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub batch: BatchConfig,
    /// Bytes of rows that wait or are under way, all tables together.
    pub memory: u64,
    /// Inserts under way at once.
    pub inserts: usize,
    /// How long an insert may take before its outcome counts as unknown.
    pub insert_timeout: Duration,
    /// Blocks whose tokens a table remembers; raised where a table has less.
    pub dedup_window: u64,
    pub unknown_columns: UnknownColumns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchConfig {
    pub rows: usize,
    pub bytes: u64,
    /// How long the first row of a batch waits for more.
    pub timeout: Duration,
}

/// What happens to a column of the rows that the table does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownColumns {
    /// The partition waits, and says so, until the table has it: nothing is lost.
    Wait,
    /// It is left out.
    Ignore,
    /// `ALTER TABLE … ADD COLUMN`, Nullable.
    Add,
}

impl UnknownColumns {
    pub const ALL: &[(&str, UnknownColumns)] = &[("wait", Self::Wait), ("ignore", Self::Ignore), ("add", Self::Add)];
}
