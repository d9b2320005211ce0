//! Seconds of CPU that process trees took, from /proc.

use std::collections::BTreeMap;
use std::fs;

/// Clock ticks in a second, as Linux tells everybody.
const TICKS: f64 = 100.0;

#[derive(Default)]
pub struct Cpu {
    /// By name.
    pub seconds: BTreeMap<&'static str, f64>,
    /// By name and root, as it was seen last.
    last: BTreeMap<(&'static str, u32), f64>,
}

struct Process {
    parent: u32,
    /// Its own, and that of its children that it has waited for.
    ticks: f64,
}

impl Cpu {
    /// Adds what each tree has taken since it was last looked at. What one takes between its last look and its end is not counted.
    pub fn look(&mut self, roots: &[(&'static str, u32)]) {
        let processes = processes();
        for &(name, root) in roots {
            let now = tree(&processes, root);
            let before = self.last.insert((name, root), now).unwrap_or(0.0);
            // A tree that lost a process which nobody waited for has less than before.
            *self.seconds.entry(name).or_default() += (now - before).max(0.0) / TICKS;
        }
    }
}

fn processes() -> BTreeMap<u32, Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter_map(|pid| Some((pid, process(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// A line of /proc/PID/stat. The name in parentheses may hold anything.
fn process(stat: &str) -> Option<Process> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<f64>().ok()).sum();
    Some(Process { parent: fields.get(1)?.parse().ok()?, ticks })
}

fn tree(processes: &BTreeMap<u32, Process>, root: u32) -> f64 {
    let own = processes.get(&root).map_or(0.0, |process| process.ticks);
    let children = processes.iter().filter(|(_, process)| process.parent == root);
    own + children.map(|(pid, _)| tree(processes, *pid)).sum::<f64>()
}

#[test]
fn a_line_of_stat_is_read_whatever_the_name_is() {
    let stat = "42 (a) b (c) S 7 1 1 0 -1 0 1 2 3 4 100 20 3 4 20 0 1 0 5";
    let process = process(stat).expect("a process");
    assert_eq!((process.parent, process.ticks), (7, 127.0));
}
