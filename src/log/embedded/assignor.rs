//! Who gets which partition: as even as can be, and as little moved as that allows.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::TopicPartition;

pub struct Wish {
    pub topics: BTreeSet<String>,
    pub owned: BTreeSet<TopicPartition>,
}

/// The partitions of every member. `partitions` holds the number of each existing topic's.
pub fn assign(
    members: &BTreeMap<String, Wish>,
    partitions: &BTreeMap<&str, i32>,
) -> BTreeMap<String, BTreeSet<TopicPartition>> {
    let mut given: BTreeMap<String, BTreeSet<TopicPartition>> =
        members.keys().map(|member| (member.clone(), BTreeSet::new())).collect();
    let wanted: BTreeSet<&str> = members.values().flat_map(|wish| wish.topics.iter().map(String::as_str)).collect();
    let mut free: BTreeSet<TopicPartition> = wanted
        .iter()
        .filter_map(|topic| partitions.get(topic).map(|count| (*topic, *count)))
        .flat_map(|(topic, count)| (0..count).map(move |partition| TopicPartition::new(topic, partition)))
        .collect();
    for (member, wish) in members {
        for tp in &wish.owned {
            if wish.topics.contains(&*tp.topic) && free.remove(tp) {
                given.entry(member.clone()).or_default().insert(tp.clone());
            }
        }
    }
    for tp in free {
        let poorest = members.iter().filter(|(_, wish)| wish.topics.contains(&*tp.topic)).map(|(member, _)| member);
        if let Some(member) = poorest.min_by_key(|member| given[*member].len()) {
            given.entry(member.clone()).or_default().insert(tp);
        }
    }
    while let Some((from, to, tp)) = unfair(members, &given) {
        given.entry(from).or_default().remove(&tp);
        given.entry(to).or_default().insert(tp);
    }
    given
}

/// A partition that one member has, and another who wants it too has at least two fewer.
fn unfair(
    members: &BTreeMap<String, Wish>,
    given: &BTreeMap<String, BTreeSet<TopicPartition>>,
) -> Option<(String, String, TopicPartition)> {
    let mut by_wealth: Vec<&String> = members.keys().collect();
    by_wealth.sort_by_key(|member| given[*member].len());
    for to in &by_wealth {
        for from in by_wealth.iter().rev().take_while(|from| given[**from].len() >= given[*to].len() + 2) {
            // The last one: what a member has had for longest tends to be in front.
            if let Some(tp) = given[*from].iter().rev().find(|tp| members[*to].topics.contains(&*tp.topic)) {
                return Some(((*from).clone(), (*to).clone(), tp.clone()));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(topics: &[&str], owned: &[(&str, i32)]) -> Wish {
        Wish {
            topics: topics.iter().map(|t| t.to_string()).collect(),
            owned: owned.iter().map(|(t, p)| TopicPartition::new(*t, *p)).collect(),
        }
    }

    fn counts(members: &BTreeMap<String, Wish>, partitions: &[(&str, i32)]) -> Vec<(String, String)> {
        let given = assign(members, &partitions.iter().copied().collect());
        let list = |tps: BTreeSet<TopicPartition>| tps.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        given.into_iter().map(|(member, tps)| (member, list(tps))).collect()
    }

    #[test]
    fn as_even_as_can_be_and_little_moves() {
        let mut members: BTreeMap<String, Wish> = [("a".to_string(), wish(&["t"], &[]))].into();
        assert_eq!(counts(&members, &[("t", 4)]), [("a".into(), "t-0 t-1 t-2 t-3".into())]);
        members.insert("a".into(), wish(&["t"], &[("t", 0), ("t", 1), ("t", 2), ("t", 3)]));
        members.insert("b".into(), wish(&["t"], &[]));
        assert_eq!(counts(&members, &[("t", 4)]), [("a".into(), "t-0 t-1".into()), ("b".into(), "t-2 t-3".into())]);
        members.insert("c".into(), wish(&["t"], &[]));
        members.insert("b".into(), wish(&["t"], &[("t", 2), ("t", 3)]));
        members.insert("a".into(), wish(&["t"], &[("t", 0), ("t", 1)]));
        let spread = counts(&members, &[("t", 4)]);
        assert!(spread.iter().all(|(_, tps)| (1..=2).contains(&tps.split(' ').count())), "{spread:?}");
    }

    #[test]
    fn nobody_gets_what_it_did_not_ask_for() {
        let members = [("a".to_string(), wish(&["t"], &[])), ("b".to_string(), wish(&["t", "u", "gone"], &[]))].into();
        assert_eq!(
            counts(&members, &[("t", 2), ("u", 3)]),
            [("a".into(), "t-0 t-1".into()), ("b".into(), "u-0 u-1 u-2".into())]
        );
    }
}
