//! The binary, run to its end.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn complains(self, parts: &[&str]) -> Self {
        parts.iter().for_each(|part| assert!(self.stderr.contains(part), "{part:?} is missing in\n{}", self.stderr));
        self
    }

    #[track_caller]
    pub fn says(self, parts: &[&str]) -> Self {
        parts.iter().for_each(|part| assert!(self.stdout.contains(part), "{part:?} is missing in\n{}", self.stdout));
        self
    }

    #[track_caller]
    pub fn silent(self) -> Self {
        assert_eq!(self.stderr, "");
        self
    }
}

/// In a directory, with this input and environment, and nothing of this process' own settings.
pub fn highwater(dir: &Path, args: &[&str], env: &[(&str, &str)], input: &str) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_highwater"));
    for name in ["HIGHWATER_FILE", "HIGHWATER_LOG", "HIGHWATER_LOG_FORMAT", "ANONYMIZE_SALT", "MASK_SECRET", "SHOP"] {
        command.env_remove(name);
    }
    command.args(args).envs(env.iter().copied()).current_dir(dir);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("highwater");
    let mut stdin = child.stdin.take().expect("an input");
    let out = std::thread::scope(|scope| {
        // Who has enough of its input does not read on.
        scope.spawn(move || drop(stdin.write_all(input.as_bytes())));
        child.wait_with_output().expect("an end")
    });
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Said { code: out.status.code(), stdout: text(out.stdout), stderr: text(out.stderr) }
}

/// With neither.
pub fn run(dir: &Path, args: &[&str]) -> Said {
    highwater(dir, args, &[], "")
}
