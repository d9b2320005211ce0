//! Every command of the documents is run, and says what it is shown to say.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::page::{Block, Page, ROOT, page, pages};
use crate::session::Session;
use crate::transcript::is_shown;

/// What readers have anyway.
const SHELL: [&str; 7] = ["cat", "echo", "export", "head", "openssl", "rm", "source"];

/// Commands that are run elsewhere, and where: a test, or a target of the Makefile and what it is for.
const ELSEWHERE: [(&str, &str); 2] = [
    // Building, servers: not within a test.
    ("make demo-kafka", "tests/demo.rs: it_tells_the_same_on_a_real_kafka"),
    // It is what runs this test.
    ("make test", ".ci/run: make test"),
];

struct Typed {
    command: String,
    shown: String,
}

/// The commands of a block, each with what is shown below it.
fn typed(block: &Block) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    let mut lines = block.text.lines();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ ") else {
            let last = all.last_mut().unwrap_or_else(|| panic!("{}: output without a command", block.at));
            last.shown += &format!("{line}\n");
            continue;
        };
        let mut command = command.to_owned();
        while command.ends_with('\\') {
            command += &format!("\n{}", lines.next().unwrap_or_default());
        }
        if let Some((_, end)) = command.split_once("<<'") {
            let end = end.split('\'').next().unwrap_or_default().to_owned();
            loop {
                let line = lines.next().unwrap_or_else(|| panic!("{}: {end} never comes", block.at));
                command += &format!("\n{line}");
                if line == end {
                    break;
                }
            }
        }
        all.push(Typed { command, shown: String::new() });
    }
    all
}

/// The programs that a command line starts: quotes and comments hold none, `NAME=VALUE` before one is not its name.
fn programs(command: &str) -> Vec<String> {
    let mut bare = String::new();
    let mut quote = None;
    for c in command.split("<<'").next().unwrap_or_default().chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#') if bare.ends_with(' ') => break,
            (None, c) => bare.push(c),
            _ => {}
        }
    }
    let parts = bare.split(['|', ';', '&', '(']).map(str::trim).filter(|part| !part.is_empty());
    let name = |part: &str| part.split_whitespace().find(|word| !word.contains('=')).unwrap_or_default().to_owned();
    parts.map(name).collect()
}

/// Whether a target is there, and what it does.
fn recipe(target: &str) -> Option<String> {
    let makefile = fs::read_to_string(Path::new(ROOT).join("Makefile")).expect("a Makefile");
    let mut lines = makefile.lines().skip_while(|line| !line.starts_with(&format!("{target}:")));
    lines.next()?;
    Some(lines.take_while(|line| line.starts_with('\t')).map(|line| format!("{line}\n")).collect())
}

/// What to run for it; nothing where it is run elsewhere.
fn runnable(command: &str) -> Result<Option<String>, String> {
    let plain = command.split(" #").next().unwrap_or_default().trim();
    if let Some((_, place)) = ELSEWHERE.iter().find(|(elsewhere, _)| plain == *elsewhere) {
        let (file, name) = place.split_once(": ").expect("a place");
        let text = fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default();
        let there = text.contains(&format!("fn {name}(")) || text.lines().any(|line| line == name);
        let known = recipe(plain.trim_start_matches("make ")).is_some();
        return if there && known { Ok(None) } else { Err(format!("{place} does not run it")) };
    }
    if plain == "make demo" {
        let does = recipe("demo").unwrap_or_default();
        let same = does.contains("cargo run --release --locked --quiet -- demo $(ARGS)");
        return if same { Ok(Some("highwater demo".to_owned())) } else { Err(format!("it does {does}")) };
    }
    let strange = programs(command).into_iter().find(|name| name != "highwater" && !SHELL.contains(&name.as_str()));
    match strange {
        Some(name) => Err(format!("no rule covers `{name}`: see tests/docs/console.rs")),
        None => Ok(Some(command.to_owned())),
    }
}

/// The file that a comment names; the text above the block names it, too.
fn file<'a>(block: &'a Block, kind: &str) -> Option<&'a str> {
    let name = block.note.strip_prefix(kind)?;
    assert!(block.before.contains(&format!("`{name}`")), "{}: a reader is not told of {name}", block.at);
    Some(name)
}

/// The text with an edit made in it; the old lines stand in it once.
fn edited(text: &str, diff: &str) -> Result<String, String> {
    let side = |other: char| -> String {
        let lines = diff.lines().filter(|line| !line.starts_with(other));
        lines.map(|line| format!("{}\n", line.get(1..).unwrap_or_default())).collect()
    };
    if !diff.lines().all(|line| line.starts_with([' ', '+', '-'])) {
        return Err("lines begin with a blank, + or -".to_owned());
    }
    let old = side('+');
    match text.matches(&old).count() {
        1 => Ok(text.replacen(&old, &side('-'), 1)),
        count => Err(format!("these lines are there {count} times:\n{old}")),
    }
}

/// The number of commands that were run.
fn follow(page: &Page) -> usize {
    let session = Session::new(page.name == "README.md");
    let mut count = 0;
    for block in &page.blocks {
        if let Some(name) = file(block, "file: ") {
            fs::write(session.desk().join(name), &block.text).expect("a file");
        }
        if let Some(name) = file(block, "edit: ") {
            let path = session.desk().join(name);
            let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {name}: {e}", block.at));
            let text = edited(&text, &block.text).unwrap_or_else(|why| panic!("{}: {name}: {why}", block.at));
            fs::write(path, text).expect("a file");
        }
        if block.lang != "console" {
            continue;
        }
        let typed = typed(block);
        let last = typed.len() - 1;
        for (Typed { command, shown }, index) in typed.iter().zip(0..) {
            let at = format!("{}: $ {command}", block.at);
            let Some(command) = runnable(command).unwrap_or_else(|why| panic!("{at}: {why}")) else { continue };
            let said = session.run(&command, block.note == "on Kafka");
            count += 1;
            let code = block
                .note
                .strip_prefix("exit ")
                .filter(|_| index == last)
                .map_or(0, |code| code.parse().expect("a code"));
            assert_eq!(said.code, Some(code), "{at}\n{}", said.output);
            assert!(shown.is_empty() || is_shown(shown, &said.output), "{at}\nshown:\n{shown}\ncame:\n{}", said.output);
        }
    }
    count
}

#[test]
fn the_readme_can_be_followed() {
    assert!(follow(&page("README.md")) >= 10);
}

#[test]
fn the_tutorial_can_be_followed() {
    assert!(follow(&page("docs/tutorial.md")) >= 30);
}

#[test]
fn other_documents_can_be_followed() {
    for page in pages().iter().filter(|page| !["README.md", "docs/tutorial.md"].contains(&&*page.name)) {
        follow(page);
    }
}

/// In the text: the command and its flags are there, and so is the target.
#[test]
fn commands_within_sentences_exist() {
    let highwater = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_highwater")).args(args).arg("--help").output().expect("highwater");
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let mut count = 0;
    for page in pages() {
        for (line, span) in page.spans() {
            let at = format!("{}:{line}: `{span}`", page.name);
            let words: Vec<&str> = span.split_whitespace().skip_while(|word| word.contains('=')).collect();
            match words[..] {
                ["make", target, ..] => assert!(recipe(target).is_some(), "{at}"),
                ["highwater", first, ref rest @ ..] => {
                    let mut help = highwater(&[first]).unwrap_or_else(|| panic!("{at}"));
                    if let (true, Some(second)) = (help.contains("\nCommands:\n"), rest.first()) {
                        help = highwater(&[first, second]).unwrap_or_else(|| panic!("{at}"));
                    }
                    for flag in rest.iter().filter(|word| word.starts_with("--")) {
                        let flag = flag.split('=').next().unwrap_or_default();
                        assert!(help.contains(flag), "{at}: {flag}");
                    }
                }
                _ => continue,
            }
            count += 1;
        }
    }
    assert!(count >= 12, "{count}");
}

#[test]
fn nothing_goes_unrun() {
    let names = |command: &str| programs(command).join(" ");
    assert_eq!(names("A=b highwater mask s -o text < 'a | b' | head -1 && rm x   # c | d"), "highwater head rm");
    assert_eq!(names("cat > x <<'END' \nfoo | bar\nEND"), "cat");
    assert_eq!(names("source <(highwater completions bash)"), "source highwater");
    for command in ["docker compose up", "highwater run | jq", "make everything", "curl x"] {
        assert!(runnable(command).is_err(), "{command}");
    }
    for (elsewhere, _) in ELSEWHERE {
        assert_eq!(runnable(&format!("{elsewhere}    # why")), Ok(None));
    }
    assert_eq!(edited("a\nb\nc\n", " a\n-b\n+d\n"), Ok("a\nd\nc\n".to_owned()));
    assert!(edited("a\nb\na\nb\n", "-a\n+c\n").is_err() && edited("a\n", "-b\n+c\n").is_err());
    let block = |text: &str| Page::read("a.md", &format!("```console\n{text}```\n")).blocks.remove(0);
    let typed: Vec<_> =
        typed(&block("$ a \\\n  b\n1\n2\n$ cat <<'E'\n$ x\nE\n")).into_iter().map(|t| (t.command, t.shown)).collect();
    assert_eq!(typed, [("a \\\n  b".into(), "1\n2\n".into()), ("cat <<'E'\n$ x\nE".to_owned(), String::new())]);
}
