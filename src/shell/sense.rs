//! What the machine and this process look like right now. Cheap enough for the loop: a sample takes well below 5 ms.
//!
//! sysinfo tells processor and memory. Disk and network come straight from the kernel: sysinfo would ask every mounted
//! file system (a dead network mount would hold the loop) and open nine files for each interface.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use sysinfo::{MemoryRefreshKind, System};

use crate::agent::input::Sample;
use crate::agent::time::Mono;

/// Most that is read of a file in `/proc`, in bytes; the rest does not count. 64 KiB are 500 network interfaces.
const PROC_BYTES_MAX: u64 = 64 * 1024;

/// Takes samples. Keeps what the sample before saw, to tell rates.
#[derive(Debug)]
pub struct Sense {
    system: System,
    ledger_dir: PathBuf,
    traffic: Option<Traffic>,
}

/// Bytes through all interfaces but loopback since the boot, at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Traffic {
    at: Mono,
    bytes: u64,
}

impl Sense {
    /// `ledger_dir`: whose disk is told. Processor use is counted from here on.
    #[must_use]
    pub fn new(ledger_dir: &Path) -> Self {
        let mut system = System::new();
        system.refresh_cpu_usage();
        Self { system, ledger_dir: ledger_dir.to_owned(), traffic: None }
    }

    /// A reading, with the last lines of the log. What cannot be read is 0. `connections` and `sockets` are the
    /// caller's to fill. Two samples within 200 ms tell the same processor use.
    pub fn sample(&mut self, now: Mono) -> Sample {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        let total = self.system.total_memory();
        Sample {
            cpu_percent: f64::from(self.system.global_cpu_usage()).clamp(0.0, 100.0),
            memory_percent: percent(total.saturating_sub(self.system.available_memory()), total),
            disk_percent: disk_percent(&self.ledger_dir),
            network_kib_s: self.network_kib_s(now),
            rss_kib: rss_kib().unwrap_or(0),
            log_excerpt: super::log::excerpt(),
            connections: 0,
            sockets: 0,
        }
    }

    fn network_kib_s(&mut self, now: Mono) -> f64 {
        let Some(bytes) = proc_text("/proc/net/dev").map(|text| traffic_bytes(&text)) else { return 0.0 };
        let seen = Traffic { at: now, bytes };
        self.traffic.replace(seen).map_or(0.0, |before| rate_kib_s(before, seen))
    }
}

/// Resident memory of this process in KiB.
///
/// From `smaps_rollup`, which counts pages; `statm` is what kernels without it have, and may lag behind by some pages
/// for each thread.
#[must_use]
pub fn rss_kib() -> Option<u64> {
    let rollup = proc_text("/proc/self/smaps_rollup").and_then(|text| kib_after(&text, "Rss:"));
    rollup.or_else(|| {
        let text = proc_text("/proc/self/statm")?;
        let pages: u64 = text.split_whitespace().nth(1)?.parse().ok()?;
        Some(pages * rustix::param::page_size() as u64 / 1024)
    })
}

/// The most resident memory that this process ever had, in KiB.
#[must_use]
pub fn peak_rss_kib() -> Option<u64> {
    kib_after(&proc_text("/proc/self/status")?, "VmHWM:")
}

/// Threads of this process.
#[must_use]
pub fn threads() -> Option<u64> {
    kib_after(&proc_text("/proc/self/status")?, "Threads:")
}

/// Open descriptors of this process.
#[must_use]
pub fn descriptors() -> Option<u64> {
    // The listing itself holds one.
    Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1))
}

/// Use of the file system that holds `dir` in percent, as `df` tells it: what is reserved for root counts as used by nobody.
pub(super) fn disk_percent(dir: &Path) -> f64 {
    let Ok(disk) = rustix::fs::statvfs(dir) else { return 0.0 };
    let used = disk.f_blocks.saturating_sub(disk.f_bfree);
    percent(used, used.saturating_add(disk.f_bavail))
}

/// In percent, with two decimals: more would be noise in a report.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let hundredths = u128::from(part.min(whole)) * 10_000 / u128::from(whole);
    f64::from(u16::try_from(hundredths).unwrap_or(10_000)) / 100.0
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate_kib_s(before: Traffic, after: Traffic) -> f64 {
    let ms = after.at.since(before.at);
    if ms == 0 {
        return 0.0;
    }
    // An interface that went away takes its count with it: then the sum falls, and the rate is unknown.
    let bytes = after.bytes.saturating_sub(before.bytes);
    bytes as f64 / 1024.0 * 1_000.0 / ms as f64
}

/// Received and sent bytes of all interfaces but loopback, from the text of `/proc/net/dev`.
fn traffic_bytes(text: &str) -> u64 {
    let row = |line: &str| {
        let (name, counts) = line.split_once(':')?;
        if name.trim() == "lo" {
            return None;
        }
        let field = |n: usize| counts.split_whitespace().nth(n)?.parse::<u64>().ok();
        // Eight columns of receiving come before those of sending; bytes are the first of each.
        Some(field(0)?.wrapping_add(field(8)?))
    };
    text.lines().filter_map(row).fold(0, u64::wrapping_add)
}

/// The number after a word at the beginning of a line.
fn kib_after(text: &str, word: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(word)?.split_whitespace().next()?.parse().ok())
}

pub(super) fn proc_text(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(PROC_BYTES_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    const NET_DEV: &str = "Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 9000 1 0 0 0 0 0 0 9000 1 0 0 0 0 0 0
  eth0: 1000 5 0 0 0 0 0 0 24 5 0 0 0 0 0 0
wlan0:300 5 0 0 0 0 0 0 700 5 0 0 0 0 0 0
  odd: 1 2 3
";

    #[test]
    fn traffic_is_the_sum_without_loopback() {
        assert_eq!(traffic_bytes(NET_DEV), 1_000 + 24 + 300 + 700);
        assert_eq!(traffic_bytes(""), 0);
        assert_eq!(traffic_bytes("eth0: x 0 0 0 0 0 0 0 1"), 0);
    }

    #[test]
    fn a_rate_is_what_came_since_the_sample_before() {
        let at = |at, bytes| Traffic { at: Mono(at), bytes };
        assert!((rate_kib_s(at(0, 0), at(2_000, 4_096)) - 2.0).abs() < f64::EPSILON);
        assert!(rate_kib_s(at(5, 0), at(5, 4_096)).abs() < f64::EPSILON, "no time passed");
        assert!(rate_kib_s(at(0, 4_096), at(1_000, 0)).abs() < f64::EPSILON, "an interface went away");
    }

    #[test]
    fn percent_stays_between_0_and_100() {
        let is = |part, whole, want: f64| {
            assert!((percent(part, whole) - want).abs() < f64::EPSILON, "{part}/{whole}")
        };
        is(0, 0, 0.0);
        is(1, 3, 33.33);
        is(5, 4, 100.0);
        is(u64::MAX, u64::MAX, 100.0);
    }

    #[test]
    fn the_number_after_a_word_is_found_at_the_beginning_of_a_line() {
        let text = "VmPeak:\t  99 kB\nVmHWM:\t  1234 kB\n";
        assert_eq!(kib_after(text, "VmHWM:"), Some(1_234));
        assert_eq!(kib_after(text, "HWM:"), None);
        assert_eq!(kib_after("Rss: many", "Rss:"), None);
    }

    #[test]
    fn a_sample_of_this_machine_is_plausible_and_quick() {
        let mut sense = Sense::new(Path::new("/"));
        sense.sample(Mono(0));
        let fastest = (1..=5).map(|n| timed(|| sense.sample(Mono(n * 1_000)))).min_by_key(|(took, _)| *took);
        let (took, sample) = fastest.expect("five samples");
        assert!(took < Duration::from_millis(5), "{took:?}");
        for (name, value) in [("memory", sample.memory_percent), ("disk", sample.disk_percent)] {
            assert!(value > 0.0 && value <= 100.0, "{name}: {value}");
        }
        assert!(sample.rss_kib > 100, "{}", sample.rss_kib);
        assert!((0.0..=100.0).contains(&sample.cpu_percent));
    }

    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
        let start = Instant::now();
        let value = work();
        (start.elapsed(), value)
    }

    #[test]
    fn this_process_has_memory_threads_and_descriptors() {
        assert!(peak_rss_kib() >= Some(100));
        assert!(threads() >= Some(1));
        let before = descriptors().expect("proc");
        let _open =
            [File::open("/proc/self/status").expect("proc"), File::open("/proc/self/stat").expect("proc")];
        // Other tests open and close descriptors beside this one.
        assert!(descriptors().expect("proc") > 2 && before > 2);
    }
}
