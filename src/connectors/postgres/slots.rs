//! What a database says of its replication slots.
//!
//! Any role that may log in can read them; nothing is written, and no table is looked at.

use std::time::Duration;

use crate::record::Secret;
use crate::telemetry::slots::{SlotNow, WalStatus};

use super::{Database, Fault, quoted};

/// Which slots of which database are watched.
#[derive(Debug, Clone)]
pub struct Config {
    /// May hold a password.
    pub url: Secret,
    pub password: Option<Secret>,
    /// All that there are, where it is empty.
    pub slots: Vec<String>,
    pub interval: Duration,
}

impl Config {
    /// Which database it is, and where, without a password.
    pub fn name(&self) -> String {
        let url = String::from_utf8_lossy(self.url.expose());
        url.parse().map_or_else(|_| "a database".to_owned(), |config| super::name(&config))
    }

    pub fn connect(&self) -> Result<Database, Fault> {
        let password = self.password.as_ref().map(|password| String::from_utf8_lossy(password.expose()));
        Database::connect(&String::from_utf8_lossy(self.url.expose()), password.as_deref())
    }

    fn sql(&self) -> String {
        let wanted = match self.slots.is_empty() {
            true => String::new(),
            false => {
                let names: Vec<String> = self.slots.iter().map(|slot| quoted(slot)).collect();
                format!("where slot_name in ({})", names.join(", "))
            }
        };
        // A standby has no present of its own: it is as far as what it has received, or else replayed.
        format!(
            "with here as (select case when pg_is_in_recovery()
               then coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) else pg_current_wal_lsn() end as lsn)
             select slot_name, active::int, coalesce(wal_status, ''),
               pg_wal_lsn_diff(lsn, restart_lsn)::bigint, pg_wal_lsn_diff(lsn, confirmed_flush_lsn)::bigint
             from pg_replication_slots, here {wanted} order by slot_name"
        )
    }

    /// The slots, and those that are named and not there.
    pub fn read(&self, database: &mut Database) -> Result<Vec<SlotNow>, Fault> {
        let mut slots = Vec::new();
        for row in database.ask(&self.sql())? {
            let [Some(name), Some(active), Some(status), wal, unconfirmed] = &row[..] else {
                return Err(Fault::Unwanted(format!("{}: pg_replication_slots has another form", database.name())));
            };
            // Negative where a standby is behind what a slot was moved to.
            let bytes = |text: &Option<String>| Some(text.as_ref()?.parse::<i64>().ok()?.max(0) as u64);
            let known = WalStatus::ALL.iter().find(|known| known.as_str() == status);
            slots.push(SlotNow {
                name: name.clone(),
                active: active == "1",
                // A slot that never was read keeps nothing and is well.
                status: known.copied().unwrap_or(WalStatus::Reserved),
                // Of a lost one `restart_lsn` may still stand there: it keeps nothing.
                wal_bytes: bytes(wal).filter(|_| known != Some(&WalStatus::Lost)),
                unconfirmed_bytes: bytes(unconfirmed),
            });
        }
        for name in &self.slots {
            if slots.iter().all(|slot| slot.name != *name) {
                let name = name.clone();
                slots.push(SlotNow {
                    name,
                    active: false,
                    wal_bytes: None,
                    unconfirmed_bytes: None,
                    status: WalStatus::Missing,
                });
            }
        }
        Ok(slots)
    }
}
