//! Postgres, for the commands that look into a database or write to it. `run` looks at its replication slots, where a topology
//! asks for that, and works without: Debezium reads the changes.
//!
//! Statements and answers go as text, many statements in one request. A transaction is [`Database::transact`]: its
//! statements are committed together, after whoever gave them has seen how many rows each of them met.

pub mod catalog;
pub mod slots;

use std::time::Duration;

use postgres_client::error::{DbError, SqlState};
use postgres_client::{Client, Config, Error, NoTls, SimpleQueryMessage, SimpleQueryRow};

/// How long a host may take to answer at all, unless the URL says so.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection.
pub struct Database {
    client: Client,
    name: String,
}

/// Columns as text; None is null.
pub type Row = Vec<Option<String>>;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// No connection, or none any more. What became of a commit that was under way, nobody knows.
    Lost(String),
    /// Postgres refused it, with this SQLSTATE; nothing of it was done.
    Refused { state: String, text: String },
    /// Whoever asked did not want it, or what would have come of it; nothing was done.
    Unwanted(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost(text) | Self::Refused { text, .. } | Self::Unwanted(text) => f.write_str(text),
        }
    }
}

impl Fault {
    /// A row of that key was there already.
    pub fn is_of_a_row_that_is_there(&self) -> bool {
        matches!(self, Self::Refused { state, .. } if state == SqlState::UNIQUE_VIOLATION.code())
    }
}

/// Whether an address holds a password; why it is none, if it is none, without repeating it.
pub fn check_url(url: &str) -> Result<bool, String> {
    let form = "expected an address such as postgres://USER@HOST:5432/DATABASE".to_owned();
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(form);
    }
    let config: Config = url.parse().map_err(|_| form)?;
    Ok(config.get_password().is_some())
}

impl Database {
    /// A URL without a password takes the one of `password`. No error shows either.
    pub fn connect(url: &str, password: Option<&str>) -> Result<Self, Fault> {
        let mut config: Config = url.parse().map_err(|_| {
            // What cannot be read may be anything, a password as well.
            Fault::Unwanted("that is no address of a database: postgres://USER@HOST:PORT/DATABASE".into())
        })?;
        if let (None, Some(password)) = (config.get_password(), password) {
            config.password(password);
        }
        config.application_name("highwater");
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        let name = name(&config);
        let client = config.connect(NoTls).map_err(|error| refused_at(&name, &error))?;
        Ok(Self { client, name })
    }

    /// Which database it is, and where: `brew on localhost:5432`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The rows that statements answer, all of them in their order.
    pub fn ask(&mut self, sql: &str) -> Result<Vec<Row>, Fault> {
        let answer = self.client.simple_query(sql).map_err(|error| fault(&self.name, &error))?;
        Ok(answer
            .iter()
            .filter_map(|message| if let SimpleQueryMessage::Row(r) = message { Some(row(r)) } else { None })
            .collect())
    }

    /// All that `work` does, or none of it where it fails.
    pub fn transact(&mut self, work: impl FnOnce(&mut Transaction<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
        let name = &self.name;
        // Dropped, it is rolled back.
        let begun = self.client.transaction().map_err(|error| fault(name, &error))?;
        let mut transaction = Transaction { begun, name };
        work(&mut transaction)?;
        transaction.begun.commit().map_err(|error| fault(name, &error))
    }
}

pub struct Transaction<'a> {
    begun: postgres_client::Transaction<'a>,
    name: &'a str,
}

impl Transaction<'_> {
    /// How many rows each of the statements met.
    pub fn met(&mut self, sql: &str) -> Result<Vec<u64>, Fault> {
        let answer = self.begun.simple_query(sql).map_err(|error| fault(self.name, &error))?;
        let met = |message: &SimpleQueryMessage| {
            if let SimpleQueryMessage::CommandComplete(rows) = message { Some(*rows) } else { None }
        };
        Ok(answer.iter().filter_map(met).collect())
    }
}

fn row(row: &SimpleQueryRow) -> Row {
    (0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()
}

/// Text as SQL writes it. Postgres reads it so wherever standard_conforming_strings is on, which is the default since 9.1.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn name(config: &Config) -> String {
    use postgres_client::config::Host;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or("postgres");
    format!("{database} on {host}:{port}")
}

/// Why there is no connection, and what helps.
fn refused_at(name: &str, error: &Error) -> Fault {
    let said = cause(error);
    if let Some(refusal) = error.as_db_error() {
        let help = match refusal.code() {
            code if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                "; the password is taken from the URL, or else from PGPASSWORD"
            }
            _ => "",
        };
        return Fault::Refused { state: refusal.code().code().into(), text: format!("{name}: {said}{help}") };
    }
    let help = match said.as_str() {
        text if text.contains("password missing") => "; it is taken from the URL, or else from PGPASSWORD",
        text if text.contains("TLS") => {
            "; highwater speaks no TLS to Postgres: leave sslmode out of the URL, or go through a tunnel"
        }
        _ => "",
    };
    Fault::Lost(format!("no way to {name}: {said}{help}"))
}

fn fault(name: &str, error: &Error) -> Fault {
    let text = format!("{name}: {}", cause(error));
    match error.as_db_error() {
        // A server that is stopped says so, and is gone.
        Some(said) if !["57P01", "57P02", "57P03"].contains(&said.code().code()) => {
            Fault::Refused { state: said.code().code().into(), text }
        }
        _ => Fault::Lost(text),
    }
}

/// The library names the step that failed; what went wrong stands behind it. Of what Postgres says, the detail is left
/// out: it holds values of rows.
fn cause(error: &Error) -> String {
    if let Some(said) = error.as_db_error() {
        return said_by_postgres(said);
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}

fn said_by_postgres(said: &DbError) -> String {
    let hint = said.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{}{hint}", said.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_as_sql_wants_it() {
        for (text, want) in [("", "''"), ("a", "'a'"), ("d'Arc", "'d''Arc'"), ("''", "''''''"), ("a\\b", "'a\\b'")] {
            assert_eq!(quoted(text), want);
        }
    }

    #[test]
    fn a_database_is_named_without_its_password() {
        for (url, want) in [
            ("postgres://me:CANARY@db.example:5433/shop", "shop on db.example:5433"),
            ("postgresql://me@localhost/shop", "shop on localhost:5432"),
            ("host=db user=me password=CANARY", "me on db:5432"),
        ] {
            assert_eq!(name(&url.parse().unwrap()), want);
        }
    }

    #[test]
    fn addresses_with_and_without_a_password() {
        for (url, want) in [
            ("postgres://me:CANARY@db/shop", Ok(true)),
            ("postgresql://me@db:5433/shop?sslmode=disable", Ok(false)),
            ("host=db password=CANARY", Err(())),
            ("postgres://me:CANARY@db:port/shop", Err(())),
            ("mysql://me:CANARY@db/shop", Err(())),
        ] {
            let found = check_url(url);
            assert!(!format!("{found:?}").contains("CANARY"), "{url}: {found:?}");
            assert_eq!(found.map_err(drop), want, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_not_repeated() {
        for url in ["postgres://me:CANARY@host:port/x", "CANARY", "postgres://me:CANARY@h/x?sslmode=maybe"] {
            let said = Database::connect(url, None).err().unwrap().to_string();
            assert!(!said.contains("CANARY") && said.contains("postgres://USER@HOST:PORT/DATABASE"), "{said}");
        }
    }

    #[test]
    fn who_does_not_answer_is_named() {
        let said = Database::connect("postgres://me:CANARY@127.0.0.1:1/shop", None).err().unwrap();
        assert!(matches!(&said, Fault::Lost(text) if text.starts_with("no way to shop on 127.0.0.1:1: ")), "{said}");
        assert!(!said.to_string().contains("CANARY"));
    }
}
