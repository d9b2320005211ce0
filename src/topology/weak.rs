//! Warnings of rules that do what they say and still tell more than their author may think.

use super::reader::Reader;
use super::yaml::Span;
use crate::operators::mask::{FieldRule, Generalize, IpPrefix, Partial, Path, Period, Step, Transform};

/// Characters at the ends of a text that single a person out together with little else.
const MANY_SHOWN: usize = 6;

pub(super) fn warn(reader: &mut Reader<'_>, listed: &[(FieldRule, Span)]) {
    for (field, at) in listed {
        warn_of(reader, field, *at);
    }
}

fn warn_of(reader: &mut Reader<'_>, field: &FieldRule, at: Span) {
    let (path, name) = (&field.path, last_name(&field.path));
    match &field.transform {
        Transform::Hash if looks_like_phone(name) => {
            let message = format!("`hash` of `{path}` can be undone by whoever learns the secret");
            reader.warn("phone-hash", at, message, "all telephone numbers can be tried; `drop` it if nobody needs it");
        }
        Transform::Passthrough if looks_personal(name) => {
            let message = format!("`{path}` looks personal and passes as it is");
            reader.warn("personal-passthrough", at, message, "if that is meant, ignore this; else `hmac` or `drop` it");
        }
        Transform::Partial(Partial { keep_first, keep_last, .. }) if keep_first + keep_last > MANY_SHOWN => {
            let message = format!("`partial` shows {} characters of `{path}`", keep_first + keep_last);
            reader.warn("weak-partial", at, message, "the ends of a long number single a person out; 4 are usual");
        }
        Transform::Generalize(Generalize::To(period, _)) if *period < Period::Month && looks_like_birth(name) => {
            let message = format!("`generalize` leaves the day of `{path}`");
            let label = "a day of birth and a postcode single most people out: `to: year`";
            reader.warn("weak-generalize", at, message, label);
        }
        Transform::IpPrefix(IpPrefix { v4, v6 }) if *v4 > 24 || *v6 > 64 => {
            let message = format!("`ip_prefix` of `{path}` leaves a single household");
            reader.warn("weak-prefix", at, message, "at most 24 bits of IPv4 and 64 of IPv6 are shared by several");
        }
        _ => {}
    }
}

fn last_name(path: &Path) -> &str {
    let member = |step: &'_ Step| matches!(step, Step::Member(_));
    match path.steps.iter().rev().find(|step| member(step)) {
        Some(Step::Member(name)) => name,
        _ => &path.column,
    }
}

/// Numbers of telephones are few enough to be tried one by one.
fn looks_like_phone(column: &str) -> bool {
    has_word(column, &["phone", "mobile"], &["tel", "cell", "cellular", "fax", "gsm", "msisdn", "handy"])
}

fn looks_like_birth(column: &str) -> bool {
    has_word(column, &["birth"], &["dob", "born"])
}

fn looks_personal(column: &str) -> bool {
    looks_like_phone(column)
        || looks_like_birth(column)
        || has_word(column, &["email", "passport", "surname", "fullname"], &["mail", "ssn", "iban", "nin", "bsn"])
        || ["full_name", "first_name", "last_name", "family_name", "given_name", "maiden_name"]
            .contains(&column.to_ascii_lowercase().as_str())
}

/// `parts` anywhere in the name, `words` between what is no letter.
fn has_word(column: &str, parts: &[&str], words: &[&str]) -> bool {
    let column = column.to_ascii_lowercase();
    parts.iter().any(|part| column.contains(part))
        || column.split(|c: char| !c.is_ascii_alphabetic()).any(|word| words.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phones() {
        for column in ["phone", "phone_number", "HomePhone", "tel", "tel_2", "mobile", "work_fax", "telephone"] {
            assert!(looks_like_phone(column), "{column}");
        }
        for column in ["email", "hotel", "title", "telemetry", "cells_count", "intel"] {
            assert!(!looks_like_phone(column), "{column}");
        }
    }

    #[test]
    fn people() {
        for column in ["email", "Email_2", "e_mail", "full_name", "birth_date", "dob", "passport_no", "iban", "phone"] {
            assert!(looks_personal(column), "{column}");
        }
        for column in ["name", "shop_name", "country", "mailing_list_id2", "ninth", "rebornx", "id"] {
            assert!(!looks_personal(column), "{column}");
        }
    }
}
