//! Redis or Valkey: one value a tenant, which only ever rises.
//!
//! Several instances write the same key, in whatever order, and repeat themselves after a crash: so the server compares, in a
//! script, which is one step to it.

use std::sync::Arc;
use std::time::Duration;

use redis_client::{Client, Connection, IntoConnectionInfo as _, RedisConnectionInfo, RedisError};

use crate::record::Secret;

/// The place of the tenant in a key.
pub const TENANT: &str = "{tenant}";

const CONNECT: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(5);

/// Texts of one form are in the order of their times; what is of another form was not written here, and is replaced. How many
/// keys are no texts at all, and were left.
const RAISE: &str = "
local left = 0
for i, key in ipairs(KEYS) do
  local known = redis.pcall('GET', key)
  if type(known) == 'table' then
    left = left + 1
  elseif not known or not string.match(known, '^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%dZ$') or known < ARGV[i] then
    redis.call('SET', key, ARGV[i])
  end
end
return left";

#[derive(Debug, Clone)]
pub struct Config {
    /// Without user and password.
    pub url: String,
    pub user: Option<String>,
    pub password: Option<Secret>,
    /// Holds [`TENANT`].
    pub key: String,
}

/// A server, connected to when it is needed.
pub struct Server {
    config: Config,
    connection: Option<Connection>,
}

/// Why an address is none that a client could use; it is not repeated.
pub fn check_url(url: &str) -> Result<(), String> {
    let rest = ["redis://", "rediss://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    match rest {
        Some(rest) if rest.contains('@') => Err("user and password belong in `user` and `password`".into()),
        Some(rest) if rest.contains(['?', '#']) => Err("settings of the client do not belong here".into()),
        Some(rest) if !rest.is_empty() && url.into_connection_info().is_ok() => Ok(()),
        _ => Err(
            "expected an address such as redis://localhost:6379, rediss://host:6379 for TLS, or redis://host:6379/1"
                .into(),
        ),
    }
}

impl Server {
    pub fn new(config: Config) -> Self {
        Self { config, connection: None }
    }

    /// Sets each tenant's key to its value, unless it holds a higher one. How many keys are of another type, and stay.
    pub fn raise(&mut self, values: &[(Arc<str>, String)]) -> Result<usize, String> {
        // A connection that failed is of no use: what it would answer next belongs to another question.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().map_err(|error| self.said(&error))?,
        };
        let mut command = redis_client::cmd("EVAL");
        command.arg(RAISE).arg(values.len());
        for (tenant, _) in values {
            command.arg(self.config.key.replace(TENANT, tenant));
        }
        for (_, value) in values {
            command.arg(value);
        }
        let left = command.query(&mut connection).map_err(|error| self.said(&error))?;
        self.connection = Some(connection);
        Ok(left)
    }

    fn connect(&self) -> Result<Connection, RedisError> {
        let Config { url, user, password, .. } = &self.config;
        let info = url.as_str().into_connection_info()?;
        let mut settings: RedisConnectionInfo = info.redis_settings().clone();
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(String::from_utf8_lossy(password.expose()));
        }
        let client =
            Client::open(info.set_redis_settings(settings.set_lib_name("highwater", env!("CARGO_PKG_VERSION"))))?;
        let connection = client.get_connection_with_timeout(CONNECT)?;
        connection.set_read_timeout(Some(ANSWER))?;
        connection.set_write_timeout(Some(ANSWER))?;
        Ok(connection)
    }

    fn said(&self, error: &RedisError) -> String {
        format!("Redis at {}: {error}", self.config.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for url in ["redis://localhost", "redis://localhost:6380/2", "rediss://[::1]:6379", "redis://10.0.0.1:6379"] {
            assert_eq!(check_url(url), Ok(()), "{url}");
        }
        for url in [
            "",
            "localhost:6379",
            "http://localhost:6379",
            "redis://",
            "redis://me:CANARY@localhost",
            "redis://localhost:CANARY",
            "redis://localhost/CANARY",
            "redis://localhost?password=CANARY",
            "rediss://localhost/#insecure",
        ] {
            let said = check_url(url).unwrap_err();
            assert!(!said.contains("CANARY"), "{url}: {said}");
        }
    }

    #[test]
    fn who_does_not_answer_is_named_and_the_password_is_not() {
        let config = Config {
            url: "redis://127.0.0.1:1".into(),
            user: Some("me".into()),
            password: Some(Secret::new("CANARY")),
            key: "k:{tenant}".into(),
        };
        let shown = format!("{config:?}");
        let said = Server::new(config).raise(&[("a".into(), "b".into())]).unwrap_err();
        assert!(said.starts_with("Redis at redis://127.0.0.1:1: "), "{said}");
        assert!(!said.contains("CANARY") && !shown.contains("CANARY"));
    }
}
