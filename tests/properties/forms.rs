//! What is written is read as it was: state, digests, units, and text in YAML.

use std::path::Path;
use std::time::Duration;

use highwater::operators::dedup::Entry;
use highwater::record::key::canonical;
use highwater::record::position::Position;
use highwater::store::Checkpoint;
use highwater::store::digest::{Digester, StateKey};
use highwater::topology::{Cluster, Mode, Topology, duration, show_duration};
use proptest::prelude::*;

fn digest(secret: u8, stream: &str, topic: &str, key: &str) -> Vec<u8> {
    let mut form = Vec::new();
    canonical(key.as_bytes(), &mut form).expect("a key");
    Digester::new(&StateKey::Own([secret; 32]), stream, topic).data_key(&form).to_vec()
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text")
}

proptest! {
    #[test]
    fn entries_of_keys_are_read_as_written(
        (epoch, commit, kind, lsn) in (any::<u32>(), any::<u64>(), 0..2u8, any::<u64>()),
        (version, offset, withheld) in (any::<u64>(), any::<i64>(), any::<bool>()),
    ) {
        let entry = Entry { position: Position { epoch, commit, kind, lsn }, version, offset, withheld };
        let bytes = entry.encode();
        prop_assert_eq!(Entry::decode(&bytes), Some(entry));
        (0..bytes.len()).for_each(|cut| assert_eq!(Entry::decode(&bytes[..cut]), None));
        prop_assert_eq!(Entry::decode(&[&bytes[..], &[0]].concat()), None);
    }

    #[test]
    fn checkpoints_are_read_as_written(topic_id: [u8; 16], offset: i64, at_ms: i64, end in 0..33usize) {
        let checkpoint = Checkpoint { topic_id, offset, at_ms };
        let bytes = checkpoint.encode();
        prop_assert_eq!(Checkpoint::decode(&bytes), Some(checkpoint));
        prop_assert_eq!(Checkpoint::decode(&bytes[..end]), None);
    }

    /// One row has one digest, however its key is spelled; and nothing else has it.
    #[test]
    fn a_digest_stands_for_one_row(one in (".{0,8}", ".{0,8}"), other in (".{0,8}", ".{0,8}"), (n, m) in (0..3i32, 0..3i32)) {
        let key = |(a, b): &(String, String), n: i32| format!("{{\"n\":{n},\"a\":{},\"b\":{}}}", quoted(a), quoted(b));
        let spelled = |(a, b): &(String, String), n: i32| {
            let escaped: String = b.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            format!("{{ \"b\" :\"{escaped}\",\n\"\\u0061\": {} , \"n\" : {n} }}", quoted(a))
        };
        let own = digest(1, "s", "t", &key(&one, n));
        prop_assert_eq!(&own, &digest(1, "s", "t", &spelled(&one, n)));
        prop_assert_eq!(own == digest(1, "s", "t", &key(&other, m)), one == other && n == m);
        prop_assert_ne!(&own, &digest(2, "s", "t", &key(&one, n)));
        prop_assert_ne!(&own, &digest(1, "st", "", &key(&one, n)));
    }

    #[test]
    fn durations_are_read_as_shown(millis in prop_oneof![0..10_000u64, any::<u32>().prop_map(u64::from)]) {
        let whole = Duration::from_millis(millis);
        prop_assert_eq!(duration(&show_duration(whole)), Ok(whole));
    }

    /// A text stands in YAML in each way of quoting it, and dollars are dollars once they are doubled.
    #[test]
    fn any_text_can_stand_in_a_topology(text in "[^\\p{C}]{1,20}", tail in "[ -~]{0,20}") {
        let text = format!("{text}{tail}");
        let dollars = text.replace('$', "$$");
        for written in [quoted(&dollars), format!("'{}'", dollars.replace('\'', "''")), format!("|-\n      {dollars}")] {
            // A block that begins with a blank says so by a number, which is no matter of ours.
            if written.starts_with('|') && dollars.starts_with(char::is_whitespace) {
                continue;
            }
            let topology = format!(
                "application: app\nkafka:\n  bootstrap.servers: b\n  client.id:\n    {written}\nstreams: {{ s: {{ from: in, \
                 steps: [{{ mask: none }}], to: out }} }}\n"
            );
            let env = |_: &str| -> Option<String> { panic!("nothing is asked for") };
            let loaded = Topology::parse(&topology, "topology.yaml", Path::new(""), Mode::Run, &env);
            let loaded = loaded.unwrap_or_else(|found| panic!("{topology}\n{found}"));
            let Cluster::Kafka(properties) = &loaded.topology.cluster else { panic!("it is on Kafka") };
            let got = properties.get("client.id").map(String::as_str);
            prop_assert_eq!(got, Some(&*text), "{}", topology);
        }
    }
}
