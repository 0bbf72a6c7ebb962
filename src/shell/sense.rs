//! What the machine and this process look like right now. Cheap enough for the loop: a sample takes well below 5 ms.
//!
//! All of it comes straight from the kernel, three files and a `statvfs` for a sample: what libraries ask besides (every mounted file
//! system, of which a dead network mount would hold the loop, and nine files for each interface) is not wanted.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::agent::input::Sample;
use crate::agent::time::Mono;

/// Most that is read of a file in `/proc`, in bytes; the rest does not count. 64 KiB are 500 network interfaces.
const PROC_BYTES_MAX: u64 = 64 * 1024;

/// Takes samples. Keeps what the sample before saw, to tell rates.
#[derive(Debug)]
pub struct Sense {
    ledger_dir: PathBuf,
    /// Of all processors, when it was last looked at.
    time: Option<Time>,
    traffic: Option<Traffic>,
}

/// What the processors did since the boot, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
struct Time {
    busy: u64,
    all: u64,
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
        Self { ledger_dir: ledger_dir.to_owned(), time: processor_time(), traffic: None }
    }

    /// A reading, with the last lines of the log. What cannot be read is 0. `connections` and `sockets` are the
    /// caller's to fill.
    pub fn sample(&mut self, now: Mono) -> Sample {
        Sample {
            cpu_percent: self.cpu_percent(),
            memory_percent: proc_text("/proc/meminfo").map_or(0.0, |text| memory_percent(&text)),
            disk_percent: disk_percent(&self.ledger_dir),
            network_kib_s: self.network_kib_s(now),
            rss_kib: rss_kib().unwrap_or(0),
            log_excerpt: super::log::excerpt(),
            connections: 0,
            sockets: 0,
        }
    }

    fn cpu_percent(&mut self) -> f64 {
        let Some(seen) = processor_time() else { return 0.0 };
        self.time.replace(seen).map_or(0.0, |before| use_percent(before, seen))
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

fn processor_time() -> Option<Time> {
    time_of(&proc_text("/proc/stat")?)
}

/// From the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. What guests took is in `user` already.
fn time_of(text: &str) -> Option<Time> {
    let (name, counts) = text.lines().next()?.split_once(' ')?;
    let mut time = Time::default();
    for (place, count) in counts.split_whitespace().take(8).enumerate() {
        let count: u64 = count.parse().ok()?;
        time.all = time.all.checked_add(count)?;
        if !(3..=4).contains(&place) {
            time.busy += count;
        }
    }
    (name == "cpu" && time.all > 0).then_some(time)
}

/// Some kernels count `iowait` backwards now and then: what fell is taken as nothing.
fn use_percent(before: Time, after: Time) -> f64 {
    percent(after.busy.saturating_sub(before.busy), after.all.saturating_sub(before.all))
}

/// What is not available to new programs, of all there is. Kernels before 3.14 do not say what is available: then what is free.
fn memory_percent(text: &str) -> f64 {
    let all = kib_after(text, "MemTotal:").unwrap_or(0);
    let left = kib_after(text, "MemAvailable:").or_else(|| kib_after(text, "MemFree:"));
    left.map_or(0.0, |left| percent(all.saturating_sub(left), all))
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
    fn processor_use_is_what_was_not_idle_of_the_time_since_the_sample_before() {
        let time = |line: &str| time_of(&format!("{line}\ncpu0 1 2 3\nintr 5\n"));
        let before = time("cpu  100 10 40 800 50 0 0 0 7 0").expect("good");
        assert_eq!(before, Time { busy: 150, all: 1_000 });
        let after = time("cpu  130 10 50 860 50 0 0 0 9 0").expect("good");
        assert!((use_percent(before, after) - 40.0).abs() < f64::EPSILON);
        assert!(use_percent(after, before).abs() < f64::EPSILON, "never below 0");
        assert!(use_percent(before, before).abs() < f64::EPSILON, "no time passed");
        for bad in ["", "cpu", "cpu  x 1 2 3", "cpu0 1 2 3 4", "cpu  0 0 0 0"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let is =
            |text: &str, want: f64| assert!((memory_percent(text) - want).abs() < f64::EPSILON, "{text}");
        is("MemTotal:  1000 kB\nMemFree:  100 kB\nMemAvailable:  600 kB\n", 40.0);
        is("MemTotal:  1000 kB\nMemFree:  100 kB\n", 90.0);
        is("MemFree:  100 kB\n", 0.0);
        is("", 0.0);
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
