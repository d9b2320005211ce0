//! Documents, as far as the tests must understand Markdown.

use std::fs;
use std::path::{Path, PathBuf};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// One document.
pub struct Page {
    /// From the repository's root.
    pub name: String,
    pub blocks: Vec<Block>,
    /// Its lines; those of blocks and comments are empty.
    pub prose: Vec<String>,
}

/// What stands between fences.
pub struct Block {
    pub lang: String,
    /// The comment directly before it.
    pub note: String,
    /// The last line of text before it.
    pub before: String,
    /// Where it begins, for messages: `docs/tutorial.md:12`.
    pub at: String,
    pub text: String,
}

/// README.md and all of docs/.
pub fn pages() -> Vec<Page> {
    let docs = fs::read_dir(Path::new(ROOT).join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<PathBuf> = docs.filter(|path| path.extension().is_some_and(|kind| kind == "md")).collect();
    paths.sort();
    assert!(paths.len() >= 3, "{paths:?}");
    paths.insert(0, Path::new(ROOT).join("README.md"));
    let name = |path: &Path| path.strip_prefix(ROOT).expect("below the root").display().to_string();
    paths.iter().map(|path| Page::read(&name(path), &fs::read_to_string(path).expect("a page"))).collect()
}

pub fn page(name: &str) -> Page {
    pages().into_iter().find(|page| page.name == name).unwrap_or_else(|| panic!("no {name}"))
}

impl Page {
    pub fn read(name: &str, text: &str) -> Self {
        let (mut blocks, mut prose) = (Vec::new(), Vec::new());
        let (mut note, mut before) = (String::new(), String::new());
        let mut lines = text.lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            if let Some(lang) = line.trim_start().strip_prefix("```") {
                let mut inside = String::new();
                let mut closed = false;
                prose.push(String::new());
                for (line, _) in lines.by_ref() {
                    prose.push(String::new());
                    closed = line.trim() == "```";
                    if closed {
                        break;
                    }
                    inside += &format!("{line}\n");
                }
                let at = format!("{name}:{number}");
                assert!(closed, "{at}: the block has no end");
                blocks.push(Block {
                    lang: lang.trim().to_owned(),
                    note: std::mem::take(&mut note),
                    before: before.clone(),
                    at,
                    text: inside,
                });
                continue;
            }
            let comment = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
            assert!(note.is_empty() || line.is_empty(), "{name}:{number}: the comment above stands before no block");
            prose.push(comment.map_or_else(|| line.to_owned(), |_| String::new()));
            match comment {
                Some(comment) => note = comment.to_owned(),
                None if !line.trim().is_empty() => before = line.to_owned(),
                None => {}
            }
        }
        Self { name: name.to_owned(), blocks, prose }
    }

    /// What stands in `backticks` outside of blocks, and the line.
    pub fn spans(&self) -> Vec<(usize, &str)> {
        self.prose
            .iter()
            .zip(1..)
            .flat_map(|(line, number)| line.split('`').skip(1).step_by(2).map(move |span| (number, span)))
            .collect()
    }
}

#[test]
fn pages_are_understood() {
    let text = "# A\n\nUse `x y`:\n\n<!-- exit 1 -->\n```console\n$ a\n```\nend `z`\n";
    let page = Page::read("a.md", text);
    let block = &page.blocks[0];
    assert_eq!((&*block.lang, &*block.note, &*block.before), ("console", "exit 1", "Use `x y`:"));
    assert_eq!((&*block.at, &*block.text), ("a.md:6", "$ a\n"));
    assert_eq!(page.spans(), [(3, "x y"), (9, "z")]);
    assert_eq!(page.prose.len(), text.lines().count());
}

#[test]
fn every_block_has_a_language_and_a_note_that_means_something() {
    for page in pages() {
        for block in &page.blocks {
            let at = &block.at;
            match (&*block.lang, block.note.split([' ', ':']).next().unwrap_or_default()) {
                ("console", "" | "exit" | "on") | ("yaml", "" | "file") | ("diff", "edit") | ("mermaid", "") => {}
                (lang, note) => panic!("{at}: nothing is done with a block of {lang:?} with the comment {note:?}"),
            }
        }
    }
}
