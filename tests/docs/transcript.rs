//! Output as it stands in a document, against output as it came.

use regex::Regex;

/// What differs from run to run, and what stands for it.
const CHANGING: [(&str, &str); 7] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "(time)"),
    (r#""timestamp":\d+"#, "(timestamp)"),
    (r"\b\d+(\.\d+)? (s|ms)\b", "(duration)"),
    (r"process \d+", "(process)"),
    (r#"instance="[0-9a-f]{16}""#, "(instance)"),
    // One a core.
    (r"workers=\d+", "(workers)"),
    (r#""topic_id":"[0-9a-f]{32}""#, "(topic id)"),
];

fn settled(text: &str) -> String {
    let mut text: String = text.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    for (pattern, stand_in) in CHANGING {
        text = Regex::new(pattern).unwrap().replace_all(&text, stand_in).into_owned();
    }
    text
}

/// Whether it came as it is shown: `…` is anything within a line, and a line of it alone any lines. Blank lines at the end
/// do not matter, and `^C` is what a reader types.
pub fn is_shown(shown: &str, came: &str) -> bool {
    let shown: String = shown.lines().filter(|line| *line != "^C").map(|line| format!("{line}\n")).collect();
    let mut pattern = String::from("^");
    for line in settled(shown.trim_end()).lines() {
        if line.trim() == "…" {
            pattern += r"(?:.*\n)*?";
            continue;
        }
        let parts: Vec<String> = line.split('…').map(regex::escape).collect();
        pattern += &format!("{}\\n", parts.join(".*?"));
    }
    Regex::new(&format!("{pattern}$")).unwrap().is_match(&settled(came.trim_end()))
}

#[test]
fn what_differs_is_told_from_what_changes() {
    let came =
        "2026-11-21T07:32:16.555091Z  INFO running instance=\"7cd2535114320a6f\"\n3 records written in 0.1 s\nend\n";
    for shown in [
        came,
        "…\nend\n",
        "…\n",
        "2020-01-01T00:00:00.0Z  INFO running instance=\"0000000000000000\"\n…\n^C\nend\n\n",
        "…running…\n3 records written in 12.5 s\nend\n",
    ] {
        assert!(is_shown(shown, came), "{shown}");
    }
    for shown in [
        "",
        "…\nen\n",
        "…running…\n4 records written in 0.1 s\nend\n",
        "…\nend\nmore\n",
        "3 records …\nend\n",
        "…end\n",
    ] {
        assert!(!is_shown(shown, came), "{shown}");
    }
}
