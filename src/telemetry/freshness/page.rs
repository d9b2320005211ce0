//! The page `/freshness`.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{Freshness, Sink, Table, iso8601};

fn time(at: Option<i64>) -> Value {
    at.map_or(Value::Null, |at| iso8601(at).into())
}

fn now() -> Option<i64> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_micros()).ok()
}

impl Freshness {
    /// All of it, or as far as it is one tenant's.
    pub fn page(&self, tenant: Option<&str>) -> Value {
        let mut sinks = self.sinks();
        let mut newest = None;
        let mut pages = Map::new();
        for (name, sink) in &mut sinks.by_name {
            let page = match tenant {
                Some(tenant) => sink.of_tenant(tenant, &mut newest),
                None => Some(sink.page()),
            };
            page.into_iter().for_each(|page| drop(pages.insert(name.clone(), page)));
        }
        match tenant {
            Some(tenant) => json!({ "now": time(now()), "tenant": tenant, "newest": time(newest), "sinks": pages }),
            None => json!({ "now": time(now()), "sinks": pages }),
        }
    }
}

impl Sink {
    fn page(&mut self) -> Value {
        let tables: Map<String, Value> =
            self.tables.iter_mut().map(|(name, table)| (name.clone(), table.page())).collect();
        let tenants = self.tenants().into_iter().map(|(tenant, by_table)| {
            let newest = by_table.values().max().copied();
            let by_table: Map<String, Value> =
                by_table.into_iter().map(|(table, at)| (table.to_owned(), time(Some(at)))).collect();
            (tenant.to_string(), json!({ "newest": time(newest), "tables": by_table }))
        });
        let tenants: Map<String, Value> = tenants.collect();
        json!({ "tables": tables, "tenants": tenants, "tenants_left_out": self.left_out })
    }

    /// Its tables with what is known of a tenant in them; None where it is in none.
    fn of_tenant(&mut self, tenant: &str, newest: &mut Option<i64>) -> Option<Value> {
        let mut tables = Map::new();
        for (name, table) in &mut self.tables {
            let Some(at) = table.tenants.get(tenant).copied() else { continue };
            *newest = (*newest).max(Some(at));
            tables.insert(name.clone(), json!({ "newest": time(Some(at)), "table": table.page() }));
        }
        (!tables.is_empty()).then(|| json!({ "tables": tables }))
    }
}

impl Table {
    fn page(&mut self) -> Value {
        json!({
            "newest": time(self.newest),
            "as_of": time(self.settle()),
            "delivered": self.is_delivered(),
            "waiting": self.waiting(),
            "partitions": self.partitions.len(),
            "partitions_of_all": self.of,
            "undated_rows": self.undated,
        })
    }
}

/// The value of a parameter of a query, as addresses write it.
pub fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let ahead = rest.clone().take(2).collect::<Vec<_>>();
        let code = std::str::from_utf8(&ahead).ok().filter(|code| code.len() == 2);
        match (byte, code.and_then(|code| u8::from_str_radix(code, 16).ok())) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest.nth(1);
            }
            (b'+', _) => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::freshness::Arrived;
    use crate::telemetry::{Known, Metrics};

    #[test]
    fn tables_and_tenants_as_a_reader_meets_them() {
        let metrics = Metrics::new(Known::default());
        let fresh = metrics.sink_freshness("brew");
        fresh.table("orders", 4);
        let (a, b) = (fresh.partition("orders", "x", 0), fresh.partition("visits", "y", 0));
        let tenants = vec![("acme".into(), 2_000_000), ("né".into(), 1)];
        a.arrived(&Arrived { newest: Some(2_000_000), undated: 1, tenants, left_out: 0 });
        b.arrived(&Arrived {
            newest: Some(3_000_000),
            tenants: vec![("acme".into(), 3_000_000)],
            ..Arrived::default()
        });
        a.waiting(0);
        let page = metrics.freshness().page(None);
        for (place, want) in [
            ("/sinks/brew/tables/orders/newest", json!("1970-01-01T00:00:02.000000Z")),
            ("/sinks/brew/tables/orders/as_of", json!("1970-01-01T00:00:02.000000Z")),
            ("/sinks/brew/tables/orders/delivered", json!(true)),
            ("/sinks/brew/tables/orders/waiting", json!(0)),
            ("/sinks/brew/tables/orders/partitions", json!(1)),
            ("/sinks/brew/tables/orders/partitions_of_all", json!(4)),
            ("/sinks/brew/tables/orders/undated_rows", json!(1)),
            ("/sinks/brew/tables/visits/delivered", json!(false)),
            ("/sinks/brew/tables/visits/waiting", Value::Null),
            ("/sinks/brew/tenants/acme/newest", json!("1970-01-01T00:00:03.000000Z")),
            ("/sinks/brew/tenants/acme/tables/orders", json!("1970-01-01T00:00:02.000000Z")),
            ("/sinks/brew/tenants/né/tables/orders", json!("1970-01-01T00:00:00.000001Z")),
            ("/sinks/brew/tenants_left_out", json!(false)),
        ] {
            assert_eq!(page.pointer(place), Some(&want), "{place} of {page}");
        }
        let page = metrics.freshness().page(Some("acme"));
        assert_eq!(page["newest"], "1970-01-01T00:00:03.000000Z");
        assert_eq!(page.pointer("/sinks/brew/tables/orders/newest"), Some(&json!("1970-01-01T00:00:02.000000Z")));
        assert_eq!(page.pointer("/sinks/brew/tables/visits/table/delivered"), Some(&json!(false)));
        let page = metrics.freshness().page(Some("nobody"));
        assert_eq!((&page["newest"], &page["sinks"]), (&Value::Null, &json!({})));
    }

    #[test]
    fn parameters_are_read_as_addresses_write_them() {
        for (query, want) in [
            ("tenant=acme", Some("acme")),
            ("a=1&tenant=a%20b+c%C3%A9%26", Some("a b cé&")),
            ("tenant=100%", Some("100%")),
            ("tenant=%zz%4", Some("%zz%4")),
            ("tenant", Some("")),
            ("tenants=x", None),
            ("", None),
        ] {
            assert_eq!(parameter(query, "tenant").as_deref(), want, "{query}");
        }
    }
}
