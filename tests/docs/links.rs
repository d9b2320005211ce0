//! Links lead somewhere.

use std::path::Path;

use regex::Regex;

use crate::page::{Page, ROOT, page, pages};

/// As GitHub makes them.
fn anchors(page: &Page) -> Vec<String> {
    let heading = |line: &String| line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_lowercase());
    let slug = |text: String| -> String {
        text.chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .collect::<String>()
            .replace(' ', "-")
    };
    page.prose.iter().filter_map(heading).map(slug).collect()
}

/// Of `[text](target)` and `[label]: target`; code holds none.
fn targets(page: &Page) -> Vec<(usize, String)> {
    let (inline, defined) = (Regex::new(r"\]\(([^)\s]+)\)").unwrap(), Regex::new(r"^\[[^\]]+\]: (\S+)$").unwrap());
    let mut found = Vec::new();
    for (line, number) in page.prose.iter().zip(1..) {
        let targets = inline.captures_iter(line).chain(defined.captures_iter(line));
        found.extend(targets.map(|target| (number, target[1].to_owned())));
    }
    found
}

#[test]
fn every_link_resolves() {
    let mut count = 0;
    for from in pages() {
        for (line, target) in targets(&from) {
            count += 1;
            let at = format!("{}:{line}: {target}", from.name);
            if target.starts_with("https://") {
                continue; // another's to keep
            }
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let here = Path::new(ROOT).join(&from.name);
            let file = if path.is_empty() { here } else { here.parent().expect("a folder").join(path) };
            let file = file.canonicalize().unwrap_or_else(|e| panic!("{at}: {e}"));
            if !anchor.is_empty() {
                let name =
                    file.strip_prefix(Path::new(ROOT).canonicalize().expect("a root")).expect("in the repository");
                let anchors = anchors(&page(&name.display().to_string()));
                assert!(anchors.iter().any(|one| one == anchor), "{at}: there are {anchors:?}");
            }
        }
    }
    assert!(count >= 20, "{count} links");
}

#[test]
fn every_document_is_reached_from_the_readme() {
    let linked: Vec<String> = targets(&page("README.md")).into_iter().map(|(_, target)| target).collect();
    for page in pages().iter().filter(|page| page.name != "README.md") {
        assert!(linked.iter().any(|target| target.split('#').next() == Some(&page.name)), "{} is not", page.name);
    }
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").prose.len();
    assert!(lines < 210, "{lines} lines");
}
