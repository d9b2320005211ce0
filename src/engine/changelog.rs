//! What a changelog may hold, and what to do about one that holds something else.
//!
//! A restore stops at a record that this version does not know. Skipped, it would be a position forgotten, and a replay
//! would come out again.

use crate::log::{Admin, LogError, Result, TopicPartition};
use crate::operators::dedup::Entry;
use crate::record::position::Epochs;
use crate::store::digest::StateKey;
use crate::store::layout;

use super::shared::Shared;

/// Why it is no record of ours.
pub fn refusal(key: Option<&[u8]>, value: Option<&[u8]>) -> Option<String> {
    let Some(key) = key else { return Some("it has no key".into()) };
    if !layout::known(key) {
        return Some(layout::unreadable("key", key));
    }
    let Some(value) = value else {
        // Only rows may be forgotten: without its digest key a partition knows none of its rows any more.
        return (!layout::is_data(key)).then(|| "it deletes what a changelog must have".into());
    };
    let known = match key {
        layout::DIGEST_KEY => StateKey::is_kept(value),
        layout::EPOCHS => Epochs::decode(value).is_some(),
        _ => Entry::decode(value).is_some(),
    };
    (!known).then(|| layout::unreadable("value", value))
}

/// Stops at a record, with the way out.
pub fn stop_at(admin: &dyn Admin, changelog: &TopicPartition, source: &str, offset: i64, why: &str) -> LogError {
    LogError::Stop(format!(
        "changelog {changelog}, offset {offset}: {why}. If a later version of Highwater runs this application, run that one \
         in every instance. Else somebody wrote to the changelog, and it is not to be trusted. {}",
        begin_anew(admin, &changelog.topic, source)
    ))
}

/// Whoever cannot go on from a changelog processes its source again.
pub fn begin_anew(admin: &dyn Admin, changelog: &str, source: &str) -> String {
    format!(
        "Way out: stop every instance; delete the changelog ({}) and every instance's state directory; recreate the output \
         topics, because every row is sent again; then set the group's offsets to the beginning ({})",
        admin.deletion_hint(changelog),
        admin.reset_hint(&TopicPartition::new(source, 0), "earliest").replace(":0 ", " "),
    )
}

/// The digest key to go on with, where one is kept. Digests under two keys never meet: every row would count as new.
pub fn state_key(
    shared: &Shared,
    stream: &str,
    tp: &TopicPartition,
    kept: Option<&[u8]>,
    fresh: [u8; 32],
) -> Result<StateKey> {
    let topology = &shared.topology;
    let scope = format!("{}/{stream}/{}", topology.application, tp.topic);
    let derived = topology.state.secret.as_ref().map(|secret| StateKey::derive(secret.expose(), &scope, tp.partition));
    StateKey::resume(kept, derived, || fresh).map_err(|why| {
        LogError::Stop(format!(
            "the store of {tp}: {why}. Give `state.secret` back what it was. Or process all again under the new key. {}",
            begin_anew(shared.log.admin(), &topology.changelog(stream, &tp.topic), &tp.topic)
        ))
    })
}

/// The changelog with this source's positions under the name of another stream, where no stream has that name any more:
/// it was renamed, and would begin without knowing what it sent.
pub fn left_behind(shared: &Shared, tp: &TopicPartition, own: &str) -> Result<Option<(String, String)>> {
    let admin = shared.log.admin();
    let (prefix, suffix) = (format!("{}-", shared.topology.application), format!("-{}-changelog", tp.topic));
    let catalog = shared.catalog();
    let is_read = |name: &str| catalog.sources.values().flat_map(|s| &s.changelog).any(|c| c.topic == name);
    for name in admin.topics()? {
        let Some(stream) = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&suffix)) else { continue };
        if stream == own || is_read(&name) {
            continue;
        }
        let partitions = admin.describe(&name)?.map_or(0, |info| info.partitions);
        let there = TopicPartition::new(name.as_str(), tp.partition);
        if tp.partition < partitions && admin.bounds(&there)?.end > 0 {
            let stream = stream.to_owned();
            return Ok(Some((stream, name)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::layout::{DIGEST_KEY, EPOCHS, data_key};

    /// Key, value, and what is said of them.
    type Odd<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, &'static str);

    #[test]
    fn what_no_version_wrote_is_no_record_of_a_changelog() {
        let row = data_key(&[7; 16]);
        let (entry, epochs, own) =
            (Entry::default().encode(), Epochs::default().encode(), StateKey::Own([1; 32]).encode());
        for (key, value) in [(&row[..], Some(&entry)), (&row, None), (EPOCHS, Some(&epochs)), (DIGEST_KEY, Some(&own))]
        {
            assert_eq!(refusal(Some(key), value.map(|v| &v[..])), None, "{key:?}");
        }
        let mut later = entry.clone();
        later[0] += 1 << 4;
        let wrong: [Odd<'_>; 12] = [
            (None, Some(&entry), "it has no key"),
            (Some(b""), Some(&entry), "its key (0 bytes, the first is nothing)"),
            (Some(&[2, 1, 7]), Some(&entry), "its key (3 bytes, the first is 0x02)"),
            (Some(&row[..17]), Some(&entry), "its key (17 bytes"),
            (Some(&[1, 0, b'z']), Some(&entry), "its key (3 bytes"),
            (Some(layout::CHECKPOINT), Some(&entry), "its key (11 bytes, the first is 0x00)"),
            (Some(&row), Some(&later), "its value"),
            (Some(&row), Some(b""), "its value (0 bytes, the first is nothing)"),
            (Some(EPOCHS), Some(&[2]), "its value (1 bytes, the first is 0x02)"),
            (Some(DIGEST_KEY), Some(&own[..32]), "its value (32 bytes"),
            (Some(DIGEST_KEY), None, "it deletes what a changelog must have"),
            (Some(EPOCHS), None, "it deletes what a changelog must have"),
        ];
        for (key, value, why) in wrong {
            let said = refusal(key, value).unwrap_or_else(|| panic!("{key:?} {value:?} passes"));
            assert!(said.starts_with(why), "{said}");
        }
    }
}
