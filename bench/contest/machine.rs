//! What the operating system counts: CPU time, memory, and who else is busy.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Of `/proc/*/stat`: the kernel counts in hundredths of a second.
const TICKS: f64 = 100.0;

/// The numbers of `/proc/PID/stat` behind the name, which may hold blanks: the first is the parent's id.
fn stat(pid: &str) -> Option<Vec<i64>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(')')?;
    Some(rest.split_whitespace().skip(1).filter_map(|number| number.parse().ok()).collect())
}

/// Ids of the live processes of a group.
fn members(group: u32) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("Linux").flatten();
    let ids = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    ids.filter(|id| id.parse::<u32>().is_ok() && stat(id).is_some_and(|stat| stat[1] == i64::from(group))).collect()
}

/// User and system time of the processes of a group, and of their children that ended, in seconds.
pub fn cpu(group: u32) -> f64 {
    let stats = members(group).into_iter().filter_map(|id| stat(&id));
    stats.map(|stat| stat[10..14].iter().sum::<i64>() as f64 / TICKS).sum()
}

/// Of this process.
pub fn own_cpu() -> f64 {
    stat("self").expect("Linux")[10..14].iter().sum::<i64>() as f64 / TICKS
}

/// A line of `/proc/PID/status`, as a number.
fn status(pid: &str, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The most memory that the processes of a group had resident, in MB.
pub fn peak_megabytes(group: u32) -> f64 {
    members(group).iter().map(|id| status(id, "VmHWM") as f64 / 1024.0).sum()
}

/// Files, sockets, pipes that the processes of a group hold open.
pub fn open_files(group: u32) -> usize {
    members(group).iter().map(|id| fs::read_dir(format!("/proc/{id}/fd")).map_or(0, Iterator::count)).sum()
}

/// What lies below a directory, in bytes of its disk.
pub fn disk_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(about) if about.is_dir() => disk_bytes(&entry.path()),
        Ok(about) => about.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Busy time of the whole machine since it started, time stolen by its host included, in seconds over all cores.
pub fn busy() -> f64 {
    let text = fs::read_to_string("/proc/stat").expect("Linux");
    let numbers = text.lines().next().expect("a first line").split_whitespace().skip(1);
    let numbers: Vec<f64> = numbers.filter_map(|number| number.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal
    let idle = numbers[3] + numbers[4];
    (numbers[..8].iter().sum::<f64>() - idle) / TICKS
}

pub fn cores() -> f64 {
    std::thread::available_parallelism().expect("a number").get() as f64
}

/// "4 cores, 16 GB of memory, Linux 6.1".
pub fn description() -> String {
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kilobytes =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok());
    let gigabytes = kilobytes.unwrap_or(0.0) / f64::from(1 << 20);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let version: Vec<&str> = kernel.trim().split('.').take(2).collect();
    format!("{} cores, {gigabytes:.0} GB of memory, Linux {}", cores(), version.join("."))
}
