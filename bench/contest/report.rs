//! One page of Markdown. Each part of the contest writes its own section, and leaves the others as they are.

use std::fs;
use std::path::Path;

pub fn median(numbers: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = numbers.collect();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// A table: its heads, and its rows. The first column is text.
pub fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let heads: Vec<String> = heads.iter().map(|head| (*head).to_owned()).collect();
    let rule = format!("|---|{}\n", "---:|".repeat(heads.len() - 1));
    let rows: String = rows.iter().map(|row| line(row)).collect();
    format!("{}{rule}{rows}", line(&heads))
}

/// Bars.
pub fn plot(title: &str, axis: &str, bars: &[(&str, f64)]) -> String {
    let names: Vec<String> = bars.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let values: Vec<String> = bars.iter().map(|(_, value)| format!("{value:.2}")).collect();
    format!(
        "```mermaid\nxychart-beta\n    title \"{title}\"\n    x-axis [{}]\n    y-axis \"{axis}\" 0 --> {:.0}\n    bar [{}]\n```\n",
        names.join(", "),
        bars.iter().map(|(_, value)| *value).fold(0.0, f64::max).ceil(),
        values.join(", ")
    )
}

const HEAD: &str = "\
# The contest

Figures of `make bench`, written by it. The same job by every contestant on the same preloaded topic: Debezium changes of about
1 kB, 5 % of them stale replays, 2 % deletes with tombstones, lz4; masked (two columns hashed, one shortened, two dropped),
deduplicated by the last position of each key, exactly once in a transaction every 100 ms (Highwater's last longer with a backlog, which is its default). Contestants take turns; a figure is the
median of its rounds. In every run the rows are read back and compared with those that the generator made: their number, and a
digest over the rows of each key in their order. A run during which other processes took more than 6 % of the machine is
void and repeated. [Where the time goes](performance.md) is another page. The broker runs on the same machine. CPU is user and system time as the kernel counts it.
";

/// Puts a section in its place.
pub fn write(path: &Path, heading: &str, text: &str) {
    let old = fs::read_to_string(path).unwrap_or_else(|_| HEAD.to_owned());
    fs::write(path, with(&old, heading, text)).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
    println!("\n## {heading}\n\n{text}\nwritten to {}", path.display());
}

fn with(old: &str, heading: &str, text: &str) -> String {
    let mut sections: Vec<(String, String)> = Vec::new();
    let mut parts = old.split("\n## ");
    let head = parts.next().unwrap_or_default().trim_end();
    for part in parts {
        let (name, body) = part.split_once('\n').unwrap_or((part, ""));
        sections.push((name.to_owned(), body.trim().to_owned()));
    }
    match sections.iter_mut().find(|(name, _)| name == heading) {
        Some((_, body)) => *body = text.trim().to_owned(),
        None => sections.push((heading.to_owned(), text.trim().to_owned())),
    }
    let sections: String = sections.iter().map(|(name, body)| format!("\n\n## {name}\n\n{body}")).collect();
    format!("{head}{sections}\n")
}
