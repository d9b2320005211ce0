//! ClickHouse's HTTP interface.

use std::time::Duration;

use serde_json::{Map, Value};
use ureq::Agent;
use ureq::http::Response;

use super::Config;
use super::table::{Table, quoted};
use crate::record::Secret;

/// What became of a statement that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// No word from the server: it may have done it, or not, or still be at it.
    Unknown(String),
    /// It said no.
    Refused { code: u32, text: String },
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Trouble::Unknown(text) | Trouble::Refused { text, .. }) = self;
        f.write_str(text)
    }
}

/// What a refusal of an insert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The table is not as it was when the insert was planned. Nothing is in.
    Table,
    /// One of its rows. Nothing is in.
    Rows,
    /// The server's state, rights, a view behind the table: the same insert again, later.
    Server,
}

impl Trouble {
    pub fn about(&self) -> About {
        match self {
            // A view is filled after the table: its rows are in already.
            Trouble::Refused { text, .. } if text.contains("pushing to view") => About::Server,
            Trouble::Refused { code, .. } => match code {
                8 | 10 | 16 | 44 | 47 | 60 | 81 | 218 => About::Table,
                6 | 26 | 27 | 32 | 33 | 36 | 38 | 41 | 53 | 69 | 70 | 72 | 117 | 131 | 321 | 349 | 469 | 691 => {
                    About::Rows
                }
                _ => About::Server,
            },
            Trouble::Unknown(_) => About::Server,
        }
    }
}

/// One insert, whole: the same again if it is sent again.
pub struct Insert<'a> {
    pub table: &'a Table,
    pub columns: &'a [String],
    pub token: &'a str,
    pub rows: u64,
    /// RowBinary.
    pub body: &'a [u8],
}

/// A ClickHouse to speak to.
pub trait Server: Send + Sync {
    /// The rows that a statement answers; parameters stand in it as `{name:Type}`.
    fn query(&self, sql: &str, parameters: &[(&str, &str)]) -> Result<Vec<Map<String, Value>>, Trouble>;
    fn command(&self, sql: &str) -> Result<(), Trouble>;
    fn insert(&self, insert: &Insert<'_>) -> Result<(), Trouble>;
}

pub struct Client {
    agent: Agent,
    url: String,
    user: Option<String>,
    password: Option<Secret>,
    insert_timeout: Duration,
}

/// Of questions about tables and the like.
const QUERY_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// An insert is one block, so that it is in whole or not at all, and the same one when it is sent again. Rows beyond it
/// are not in a batch.
pub const MOST_ROWS: usize = 1_000_000;

impl Client {
    pub fn new(config: &Config) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .tls_config(ureq::tls::TlsConfig::builder().provider(ureq::tls::TlsProvider::NativeTls).build())
            .user_agent(concat!("highwater/", env!("CARGO_PKG_VERSION")))
            .build()
            .new_agent();
        Self {
            agent,
            url: config.url.trim_end_matches('/').to_owned(),
            user: config.user.clone(),
            password: config.password.clone(),
            insert_timeout: config.insert_timeout,
        }
    }

    fn post(&self, parameters: &[(&str, &str)], body: &[u8], timeout: Duration) -> Result<String, Trouble> {
        let mut request = self.agent.post(format!("{}/", self.url));
        if let Some(user) = &self.user {
            request = request.header("X-ClickHouse-User", user);
        }
        if let Some(password) = &self.password {
            request = request.header("X-ClickHouse-Key", password.expose());
        }
        for (name, value) in parameters {
            request = request.query(name, value);
        }
        let sent = request.config().timeout_global(Some(timeout)).build().send(body);
        let mut response = sent.map_err(|error| self.unknown(&error))?;
        let read = response.body_mut().with_config().limit(64 << 20).read_to_string();
        answer(&response, read.map_err(|error| self.unknown(&error)))
    }

    fn unknown(&self, error: &ureq::Error) -> Trouble {
        Trouble::Unknown(format!("ClickHouse at {}: {error}", self.url))
    }
}

fn answer<T>(response: &Response<T>, body: Result<String, Trouble>) -> Result<String, Trouble> {
    let code = response.headers().get("x-clickhouse-exception-code");
    let code = code.and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u32>().ok());
    if response.status().is_success() && code.is_none() {
        return body;
    }
    let said = body.unwrap_or_default();
    let text = said.lines().next().unwrap_or_default();
    // What is not ClickHouse's own word, such as a gateway's, says nothing of what the server did.
    match code.or_else(|| said.strip_prefix("Code: ")?.split('.').next()?.parse().ok()) {
        Some(code) => Err(Trouble::Refused { code, text: without_values(text) }),
        None => Err(Trouble::Unknown(format!("HTTP {} without a word of ClickHouse", response.status().as_u16()))),
    }
}

/// Messages of the server may quote the rows that they are about.
fn without_values(text: &str) -> String {
    let cuts = ["While executing", "(at row", "while parsing", "Column values:", "Row ", "Cannot parse input"];
    let end = cuts.iter().filter_map(|cut| text.find(cut)).min().unwrap_or(text.len());
    let version = text.find(" (version ").unwrap_or(text.len());
    let mut kept: String = text[..end.min(version)].trim_end_matches([' ', ':', ',', '(']).chars().take(300).collect();
    if end < text.len()
        && let Some(name) = text.rsplit_once('(').and_then(|(before, _)| before.trim_end().rsplit_once('('))
    {
        kept = format!("{kept} ({}", name.1);
    }
    kept
}

impl Server for Client {
    fn query(&self, sql: &str, parameters: &[(&str, &str)]) -> Result<Vec<Map<String, Value>>, Trouble> {
        let names: Vec<String> = parameters.iter().map(|(name, _)| format!("param_{name}")).collect();
        let mut all = vec![("default_format", "JSONEachRow"), ("wait_end_of_query", "1")];
        all.extend(names.iter().map(String::as_str).zip(parameters.iter().map(|(_, value)| *value)));
        let body = self.post(&all, sql.as_bytes(), QUERY_TIMEOUT)?;
        let row = |line: &str| serde_json::from_str(line);
        body.lines()
            .map(row)
            .collect::<Result<_, _>>()
            .map_err(|_| Trouble::Unknown(format!("ClickHouse at {}: an answer that is cut off", self.url)))
    }

    fn command(&self, sql: &str) -> Result<(), Trouble> {
        self.post(&[("wait_end_of_query", "1")], sql.as_bytes(), QUERY_TIMEOUT).map(drop)
    }

    fn insert(&self, insert: &Insert<'_>) -> Result<(), Trouble> {
        let columns: Vec<String> = insert.columns.iter().map(|name| quoted(name)).collect();
        let sql = format!("INSERT INTO {} ({}) FORMAT RowBinary", insert.table.quoted(), columns.join(", "));
        let seconds = self.insert_timeout.as_secs().max(1).to_string();
        let parameters = [
            ("query", &*sql),
            ("insert_deduplication_token", insert.token),
            ("insert_deduplicate", "1"),
            ("deduplicate_blocks_in_dependent_materialized_views", "1"),
            // It is on by default, and would answer before the rows are in.
            ("async_insert", "0"),
            ("wait_end_of_query", "1"),
            // One block, whatever the server's defaults are, so that it is the same block again.
            ("max_insert_block_size", MOST_BLOCK),
            ("min_insert_block_size_rows", MOST_BLOCK),
            ("min_insert_block_size_bytes", "0"),
            ("max_insert_threads", "1"),
            ("input_format_parallel_parsing", "0"),
            ("max_partitions_per_insert_block", "0"),
            ("input_format_binary_read_json_as_string", "1"),
            ("max_execution_time", &seconds),
        ];
        // Longer than the server takes at most, so that it is the server that gives up.
        let body = self.post(&parameters, insert.body, self.insert_timeout + Duration::from_secs(5))?;
        // An insert answers nothing; a word is that of an error after the headers were sent.
        match body.trim().is_empty() {
            true => Ok(()),
            false => Err(Trouble::Unknown(without_values(body.trim().lines().next().unwrap_or_default()))),
        }
    }
}

/// Beyond [`MOST_ROWS`].
const MOST_BLOCK: &str = "1048576";

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u32, text: &str) -> About {
        Trouble::Refused { code, text: text.into() }.about()
    }

    #[test]
    fn refusals_say_what_they_are_about() {
        assert_eq!(refused(60, "Table brew.orders does not exist"), About::Table);
        assert_eq!(refused(469, "Constraint `positive` is violated"), About::Rows);
        assert_eq!(refused(469, "Constraint … while pushing to view brew.v"), About::Server);
        assert_eq!(refused(252, "Too many parts"), About::Server);
        assert_eq!(refused(516, "Authentication failed"), About::Server);
        assert_eq!(Trouble::Unknown("cut off".into()).about(), About::Server);
    }

    #[test]
    fn messages_lose_what_may_be_values() {
        let constraint = "Code: 469. DB::Exception: Constraint `c` for table d.t (…) is violated at row 1. Expression: (n > 0). \
                          Column values: n = -5. (VIOLATED_CONSTRAINT) (version 26.9.1.1)";
        let said = without_values(constraint);
        assert!(said.contains("Constraint `c`") && said.contains("VIOLATED_CONSTRAINT"), "{said}");
        assert!(!said.contains("-5"), "{said}");
        let plain = "Code: 60. DB::Exception: Table d.t does not exist. (UNKNOWN_TABLE) (version 26.9.1.1)";
        assert_eq!(without_values(plain), "Code: 60. DB::Exception: Table d.t does not exist. (UNKNOWN_TABLE)");
    }
}
