//! What is said of all scenarios together.

use std::path::Path;

use serde_json::json;

use super::difference::{BOLD_GREEN, BOLD_RED, DIM, Difference, Paint, Shown, count};

#[derive(Debug)]
pub enum Verdict {
    Passed,
    Failed(Vec<Difference>),
    /// It could not be played to its end.
    Broken(String),
}

impl Verdict {
    pub fn of(differences: Vec<Difference>) -> Self {
        if differences.is_empty() { Verdict::Passed } else { Verdict::Failed(differences) }
    }

    fn differences(&self) -> Vec<Difference> {
        match self {
            Verdict::Passed => Vec::new(),
            Verdict::Failed(differences) => differences.clone(),
            Verdict::Broken(error) => vec![Difference::new(None, error)],
        }
    }
}

#[derive(Debug, Default)]
pub struct Report(Vec<Line>);

#[derive(Debug)]
struct Line {
    file: String,
    name: String,
    verdict: Verdict,
}

impl Report {
    pub fn add(&mut self, file: &Path, name: &str, verdict: Verdict) {
        self.0.push(Line { file: file.display().to_string(), name: name.to_owned(), verdict });
    }

    pub fn failed(&self) -> usize {
        self.0.iter().filter(|line| !matches!(line.verdict, Verdict::Passed)).count()
    }

    pub fn text(&self, colour: bool) -> String {
        let paint = Paint(colour);
        let mut out = String::new();
        for line in &self.0 {
            if let Verdict::Passed = line.verdict {
                out += &format!("{} {}\n", paint.on(BOLD_GREEN, "pass"), line.name);
                continue;
            }
            let file = paint.on(DIM, &format!("({})", line.file));
            out += &format!("{} {} {file}\n", paint.on(BOLD_RED, "FAIL"), line.name);
            for difference in line.verdict.differences() {
                out += &difference.render(&line.file, paint);
            }
        }
        let (all, failed) = (self.0.len(), self.failed());
        let hue = if failed == 0 { BOLD_GREEN } else { BOLD_RED };
        out + &format!("\n{}\n", paint.on(hue, &summary(all, failed)))
    }

    /// Annotations of pull requests: one workflow command a difference.
    pub fn github(&self) -> String {
        let escape = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        let property = |text: &str| escape(text).replace(':', "%3A").replace(',', "%2C");
        let mut out = String::new();
        for line in &self.0 {
            for difference in line.verdict.differences() {
                let at = difference.line.map(|line| format!(",line={line}")).unwrap_or_default();
                let shown = difference.shown.iter().map(|shown| match shown {
                    Shown::Expected(text) => format!("\n- {text}"),
                    Shown::Got(text) => format!("\n+ {text}"),
                    Shown::Note(text) => format!("\n  {text}"),
                });
                let text = escape(&format!("{}{}", difference.message, shown.collect::<String>()));
                let (file, title) = (property(&line.file), property(&line.name));
                out += &format!("::error file={file}{at},title={title}::{text}\n");
            }
        }
        out
    }

    pub fn json(&self) -> serde_json::Value {
        let each = |line: &Line| {
            json!({
                "file": line.file,
                "name": line.name,
                "passed": matches!(line.verdict, Verdict::Passed),
                "differences": line.verdict.differences().iter().map(Difference::json).collect::<Vec<_>>(),
            })
        };
        let (all, failed) = (self.0.len(), self.failed());
        let results: Vec<_> = self.0.iter().map(each).collect();
        json!({ "scenarios": all, "passed": all - failed, "failed": failed, "results": results })
    }
}

/// `7 scenarios: 6 passed, 1 failed`
fn summary(all: usize, failed: usize) -> String {
    format!("{}: {} passed, {failed} failed", count(all, "scenario"), all - failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        report.add(Path::new("a.yaml"), "one", Verdict::Passed);
        let difference = Difference::new(7, "out: a row differs").expected("\"a\": 1").got("\"a\": 2").note("so it is");
        report.add(Path::new("b.yaml"), "two, three", Verdict::of(vec![difference]));
        report.add(Path::new("c.yaml"), "four", Verdict::Broken("no progress".into()));
        report
    }

    #[test]
    fn three_forms() {
        let want = "pass one\nFAIL two, three (b.yaml)\n  out: a row differs (b.yaml:7)\n    - \"a\": 1\n    + \"a\": 2\n      \
                    so it is\nFAIL four (c.yaml)\n  no progress\n\n3 scenarios: 1 passed, 2 failed\n";
        assert_eq!(report().text(false), want);
        assert!(report().text(true).contains("\x1b[31m- \"a\": 1\x1b[0m"));
        let github = report().github();
        let want = "::error file=b.yaml,line=7,title=two%2C three::out: a row differs%0A- \"a\": 1%0A+ \"a\": 2%0A  so it is\n\
                    ::error file=c.yaml,title=four::no progress\n";
        assert_eq!(github, want);
        let json = report().json();
        assert_eq!((&json["failed"], &json["results"][1]["differences"][0]["line"]), (&json!(2), &json!(7)));
        assert_eq!(json["results"][1]["differences"][0]["got"], json!(["\"a\": 2"]));
        assert_eq!(Report::default().text(false), "\n0 scenarios: 0 passed, 0 failed\n");
    }
}
