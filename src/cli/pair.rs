//! A row before and after, one line each: what changed stands out.

/// Digests are longer.
const LONGEST: usize = 32;
const RED: &str = "31";
const GREEN: &str = "32";

/// Names and their values as JSON, in the order in which they are shown.
pub type Columns = Vec<(String, String)>;

/// `- id 1, email "ann@example.com"` and `+ id 1, email "5c98…"`. With colours, what is not the same on both sides has one.
pub fn lines(before: &Columns, after: &Columns, colours: bool) -> [String; 2] {
    [line("-", RED, before, after, colours), line("+", GREEN, after, before, colours)]
}

fn line(sign: &str, hue: &str, row: &Columns, other: &Columns, colours: bool) -> String {
    let paint = |text: String| if colours { format!("\x1b[{hue}m{text}\x1b[0m") } else { text };
    let each = |column: &(String, String)| {
        let text = format!("{} {}", printable(&column.0), short(&column.1));
        if other.contains(column) { text } else { paint(text) }
    };
    format!("{} {}", paint(sign.into()), row.iter().map(each).collect::<Vec<_>>().join(", "))
}

/// A value as JSON, cut where it is long.
fn short(value: &str) -> String {
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => printable(&format!("{}…{}", &value[..end], if value.starts_with('"') { "\"" } else { "" })),
        None => printable(value),
    }
}

/// A terminal takes control characters for orders.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(columns: &[(&str, &str)]) -> Columns {
        columns.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn what_changed_stands_out() {
        let before =
            columns(&[("id", "1"), ("email", "\"a@b\""), ("note\u{1b}", "[1,2,3,4,5,6,7,8,9,10,11,12,13,14]")]);
        let digest = format!("\"{}\"", "5".repeat(64));
        let after = columns(&[("id", "1"), ("email", &digest), ("_deleted", "0")]);
        let [minus, plus] = lines(&before, &after, false);
        assert_eq!(minus, "- id 1, email \"a@b\", note  [1,2,3,4,5,6,7,8,9,10,11,12,13,1…");
        assert_eq!(plus, format!("+ id 1, email \"{}…\", _deleted 0", "5".repeat(31)));
        let [minus, plus] = lines(&before, &after, true);
        assert!(minus.starts_with("\x1b[31m-\x1b[0m id 1, \x1b[31memail \"a@b\"\x1b[0m, "), "{minus:?}");
        assert!(plus.ends_with("\x1b[32m_deleted 0\x1b[0m"), "{plus:?}");
    }
}
