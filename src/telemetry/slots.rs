//! The metrics of a database's replication slots.

use super::live::{Live, Slot};

macro_rules! status {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What Postgres says of the WAL that a slot needs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum WalStatus { $($(#[$doc])* $variant,)* }

        impl WalStatus {
            pub const ALL: &'static [WalStatus] = &[$(WalStatus::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(WalStatus::$variant => $text,)* }
            }
        }
    };
}

status! {
    Reserved = "reserved",
    /// More than `max_wal_size`, and kept all the same.
    Extended = "extended",
    /// The next checkpoint may remove it.
    Unreserved = "unreserved",
    /// Gone: the slot is of no use any more.
    Lost = "lost",
    /// There is no such slot.
    Missing = "missing",
}

/// A slot, as it was when Postgres was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotNow {
    pub name: String,
    pub active: bool,
    /// None where it keeps nothing.
    pub wal_bytes: Option<u64>,
    pub unconfirmed_bytes: Option<u64>,
    pub status: WalStatus,
}

/// The families.
#[derive(Clone)]
pub(super) struct SlotSeries {
    pub up: Live,
    pub wal_bytes: Live,
    pub unconfirmed_bytes: Live,
    pub active: Live,
    pub wal_status: Live,
}

/// What a database says. Nothing is said of slots while it says nothing: an old value looks like a present one.
pub struct SlotMetrics {
    series: SlotSeries,
    up: Slot,
    held: Vec<Slot>,
}

impl SlotMetrics {
    pub(super) fn new(series: &SlotSeries) -> Self {
        let up = series.up.slot(&[]);
        up.set(0.0);
        Self { series: series.clone(), up, held: Vec::new() }
    }

    pub fn read(&mut self, slots: &[SlotNow]) {
        let mut held = Vec::new();
        let mut hold = |live: &Live, labels: &[&str], value: f64| {
            let slot = live.slot(labels);
            slot.set(value);
            held.push(slot);
        };
        let series = &self.series;
        for slot in slots {
            let name = slot.name.as_str();
            let bytes = [(&series.wal_bytes, slot.wal_bytes), (&series.unconfirmed_bytes, slot.unconfirmed_bytes)];
            for (live, bytes) in bytes {
                bytes.into_iter().for_each(|bytes| hold(live, &[name], bytes as f64));
            }
            hold(&series.active, &[name], f64::from(u8::from(slot.active)));
            for status in WalStatus::ALL {
                let is = f64::from(u8::from(*status == slot.status));
                hold(&series.wal_status, &[name, status.as_str()], is);
            }
        }
        self.held = held;
        self.up.set(1.0);
    }

    pub fn away(&mut self) {
        self.up.set(0.0);
        self.held.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{Known, Metrics};

    #[test]
    fn what_is_not_said_any_more_is_not_shown() {
        let metrics = Metrics::new(Known::default());
        assert!(!metrics.render().contains("highwater_pg_"), "nobody asks");
        let mut slots = metrics.slots();
        assert!(metrics.render().contains("highwater_pg_up 0\n"));
        let slot = |name: &str, status| SlotNow {
            name: name.into(),
            active: false,
            wal_bytes: (status != WalStatus::Lost).then_some(7),
            unconfirmed_bytes: None,
            status,
        };
        slots.read(&[slot("a", WalStatus::Extended), slot("b", WalStatus::Lost)]);
        let page = metrics.render();
        for line in [
            "highwater_pg_up 1",
            "highwater_pg_replication_slot_wal_bytes{slot=\"a\"} 7",
            "highwater_pg_replication_slot_active{slot=\"a\"} 0",
            "highwater_pg_replication_slot_wal_status{slot=\"a\",status=\"extended\"} 1",
            "highwater_pg_replication_slot_wal_status{slot=\"a\",status=\"lost\"} 0",
            "highwater_pg_replication_slot_wal_status{slot=\"b\",status=\"lost\"} 1",
        ] {
            assert!(page.contains(&format!("{line}\n")), "{line} in {page}");
        }
        assert!(!page.contains("wal_bytes{slot=\"b\"}") && !page.contains("unconfirmed_bytes{"), "{page}");
        slots.read(&[slot("a", WalStatus::Reserved)]);
        assert!(!metrics.render().contains("slot=\"b\""));
        slots.away();
        let page = metrics.render();
        assert!(page.contains("highwater_pg_up 0\n") && !page.contains("slot=\"a\""), "{page}");
    }
}
