//! Invented people: a name, and mail, phone and birth date that fit it.

use super::cultures::{CULTURES, Culture, Order};
use super::random::Random;

const DOMAINS: [&str; 4] = ["example.com", "example.org", "example.net", "mail.example"];

pub struct Person {
    culture: &'static Culture,
    given: (&'static str, &'static str),
    family: (&'static str, &'static str),
    /// Which one of those of that name.
    number: u64,
}

impl Person {
    /// The same of the same number, whatever becomes of their row.
    pub fn of(seed: u64, number: u64) -> Self {
        let mut random = Random::of(&[seed, 1, number]);
        let culture = &CULTURES[random.below(CULTURES.len() as u64) as usize];
        let (given, family) = if random.percent(50) { culture.women } else { culture.men };
        let mut one = |of: &[(&'static str, &'static str)]| of[random.below(of.len() as u64) as usize];
        Self { culture, given: one(given), family: one(family), number }
    }

    pub fn country(&self) -> &'static str {
        self.culture.country
    }

    pub fn name(&self) -> String {
        let (given, family) = (self.given.0, self.family.0);
        match self.culture.order {
            Order::GivenFamily => format!("{given} {family}"),
            Order::FamilyGiven => format!("{family} {given}"),
            Order::Joined => format!("{family}{given}"),
        }
    }

    /// Of its own among all people. A few are in the person's own script.
    pub fn email(&self, random: &mut Random) -> String {
        let number = self.number;
        if random.percent(4) {
            let local: String = self.given.0.to_lowercase().chars().filter(|c| !c.is_whitespace()).collect();
            return format!("{local}.{number}@{}.example", self.culture.host);
        }
        let ((_, given), (_, family)) = (self.given, self.family);
        let initial = &given[..1];
        let domain = DOMAINS[random.below(4) as usize];
        match random.below(5) {
            0 => format!("{given}{number}@{domain}"),
            1 => format!("{initial}.{family}.{number}@{domain}"),
            2 => format!("{family}_{given}_{number}@{domain}"),
            3 => format!("{given}.{family}+shop{number}@{domain}"),
            _ => format!("{given}.{family}.{number}@{domain}"),
        }
    }

    pub fn phone(&self, random: &mut Random) -> String {
        let form = random.pick(self.culture.phones);
        form.chars().map(|c| if c == '#' { char::from(b'0' + random.below(10) as u8) } else { c }).collect()
    }

    pub fn address(&self, random: &mut Random) -> String {
        let place = random.pick(self.culture.places);
        place.replace("{n}", &(1 + random.below(180)).to_string())
    }

    /// From 1935 to 2007, 29 February among them.
    pub fn birth_date(&self) -> String {
        date(-12_784 + Random::of(&[self.number, 2]).below(26_663) as i64)
    }
}

/// A day by its number since 1970-01-01, as ISO 8601 writes it. (Hinnant's civil_from_days.)
pub fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    format!("{:04}-{month:02}-{day:02}", year + era * 400 + i64::from(month <= 2))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn people() -> impl Iterator<Item = (Person, Random)> {
        (1..=5000).map(|number| (Person::of(7, number), Random::of(&[7, number])))
    }

    #[test]
    fn days_are_dates() {
        for (days, want) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (-12_784, "1935-01-01"),
            (13_878, "2007-12-31"),
            (20_454, "2026-01-01"),
        ] {
            assert_eq!(date(days), want);
        }
    }

    #[test]
    fn mail_goes_to_reserved_domains_and_each_to_one_person() {
        let mut seen = BTreeSet::new();
        for (person, mut random) in people() {
            let mail = person.email(&mut random);
            let (local, domain) = mail.rsplit_once('@').unwrap();
            assert!(!local.is_empty() && !local.contains(char::is_whitespace), "{mail}");
            assert!(DOMAINS.contains(&domain) || domain.ends_with(".example"), "{mail}");
            assert!(seen.insert(mail.clone()), "{mail} twice");
        }
    }

    #[test]
    fn phones_are_nobodys() {
        let free = [
            r"\+1 \d{3} 555 01\d\d",
            r"\+44 (7700 900\d{3}|20 7946 0\d{3}|161 496 0\d{3})",
            r"\+61 [237] (5550|7010) \d{4}",
            r"\+49 (30 23125|89 99998|40 66969|221 4710|69 90009) \d{3}",
            r"\+33 (6 39 98|1 99 00|4 65 71) \d\d \d\d",
            r"\+46 (70 174 06 5\d|8 465 004 \d\d|31 390 06 \d\d)",
            r"\+999 [\d ]+",
        ];
        let free = regex::Regex::new(&format!("^({})$", free.join("|"))).unwrap();
        for (person, mut random) in people() {
            let phone = person.phone(&mut random);
            assert!(free.is_match(&phone), "{phone}");
        }
    }

    #[test]
    fn people_are_of_many_scripts_and_their_birth_dates_are_dates() {
        let (mut countries, mut first) = (BTreeSet::new(), BTreeSet::new());
        for (person, mut random) in people() {
            countries.insert(person.country());
            first.extend(person.name().chars().next());
            let born = person.birth_date();
            assert!(("1935-01-01"..="2007-12-31").contains(&born.as_str()), "{born}");
            assert!(!person.address(&mut random).contains('{'));
        }
        assert_eq!(countries.len(), CULTURES.len());
        for script in ["O", "Ж", "Ε", "ل", "प", "王", "김", "Đ"] {
            assert!(first.contains(&script.chars().next().unwrap()), "no {script} in {first:?}");
        }
    }
}
