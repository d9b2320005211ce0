//! What the workers of an instance share, and what it makes of changes of the cluster.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use crate::log::{Log, LogError, Result};
use crate::store::Database;
use crate::telemetry::{Health, Metrics};
use crate::topology::Topology;

use super::catalog::Catalog;
use super::clock::Clock;

pub struct Shared {
    pub topology: Arc<Topology>,
    pub log: Arc<dyn Log>,
    pub clock: Arc<dyn Clock>,
    pub database: Arc<Database>,
    pub metrics: Arc<Metrics>,
    pub health: Arc<Health>,
    /// Replaced as a whole when the cluster's topics change.
    pub catalog: RwLock<Arc<Catalog>>,
    /// A clean stop is wanted.
    pub stop: AtomicBool,
}

impl Shared {
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().unwrap_or_else(|p| p.into_inner()).clone()
    }

    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// New topics join; a source or changelog that was recreated or resized needs a fresh start.
    pub fn survey(&self) -> Result<()> {
        let catalog = match Catalog::survey(&self.topology, self.log.admin()) {
            Ok(catalog) => catalog,
            Err(LogError::Stop(text)) => return Err(LogError::Stop(text)),
            Err(error) => {
                tracing::debug!(%error, "the cluster could not be surveyed");
                return Ok(());
            }
        };
        let before = self.catalog();
        for (topic, source) in &before.sources {
            match catalog.sources.get(topic) {
                Some(now) if now.info.id != source.info.id => {
                    let text = format!("{topic} was deleted and created again; start again to process the new one");
                    return Err(LogError::Stop(text));
                }
                Some(now)
                    if now.changelog.as_ref().map(|c| c.info.id) != source.changelog.as_ref().map(|c| c.info.id) =>
                {
                    let text =
                        format!("the changelog of {topic} was deleted and created again; its positions are lost");
                    return Err(LogError::Stop(text));
                }
                _ => {}
            }
        }
        if catalog != *before {
            *self.catalog.write().unwrap_or_else(|p| p.into_inner()) = Arc::new(catalog);
        }
        Ok(())
    }
}
