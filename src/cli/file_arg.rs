//! Which topology a command is about.

use std::path::{Path, PathBuf};

/// For commands without words of their own: `validate`, `validate prod.yaml`, `validate -f prod.yaml`.
#[derive(Debug, Clone, clap::Args)]
pub struct FileArg {
    #[command(flatten)]
    flag: FileFlag,
    /// The topology; the same as --file, and stronger
    #[arg(value_name = "FILE", id = "topology")]
    positional: Option<PathBuf>,
}

/// For commands whose words mean something else: `mask STREAM -f prod.yaml`.
#[derive(Debug, Clone, clap::Args)]
pub struct FileFlag {
    /// The topology
    #[arg(short = 'f', long = "file", env = "HIGHWATER_FILE", value_name = "FILE", default_value = "topology.yaml")]
    file: PathBuf,
}

impl FileArg {
    pub fn path(&self) -> &Path {
        self.positional.as_deref().unwrap_or(&self.flag.file)
    }
}

impl FileFlag {
    pub fn path(&self) -> &Path {
        &self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        file: FileArg,
    }

    #[test]
    fn both_ways_to_name_it() {
        for (args, want) in [
            (&["x", "a.yaml"][..], "a.yaml"),
            (&["x", "-f", "b.yaml"], "b.yaml"),
            (&["x", "--file=c"], "c"),
            (&["x", "-f", "b", "a"], "a"),
        ] {
            assert_eq!(Command::try_parse_from(args).ok().unwrap().file.path(), Path::new(want));
        }
        assert!(Command::try_parse_from(["x", "a", "b"]).is_err());
    }
}
