//! `system-info`: the machine in a few lines, straight from the kernel.

use std::fmt::Write as _;
use std::path::Path;

use crate::shell::sense::{disk_percent, proc_text};

/// Zones whose temperature is told.
const ZONES_MAX: usize = 4;

/// Load, memory, disk (of `folder`), temperature, uptime; what cannot be read is left out.
pub(super) fn describe(folder: &Path) -> String {
    let mut out = String::new();
    if let Some(host) = super::super::state::host_name() {
        let _ = writeln!(out, "host: {host}");
    }
    if let Some(text) = proc_text("/proc/loadavg") {
        let load: Vec<&str> = text.split_whitespace().take(3).collect();
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let _ = writeln!(out, "load (1, 5, 15 min): {} on {cores} cores", load.join(" "));
    }
    if let Some(text) = proc_text("/proc/meminfo") {
        push_memory(&mut out, &text);
    }
    if let Ok(disk) = rustix::fs::statvfs(folder) {
        let mib = |blocks: u64| blocks.saturating_mul(disk.f_frsize) / (1024 * 1024);
        let (free, total) = (mib(disk.f_bavail), mib(disk.f_blocks));
        let _ = writeln!(out, "disk: {}% used, {free} of {total} MiB free", disk_percent(folder));
    }
    for zone in 0..ZONES_MAX {
        push_temperature(&mut out, zone);
    }
    if let Some(text) = proc_text("/proc/uptime") {
        push_uptime(&mut out, &text);
    }
    out.truncate(out.trim_end().len());
    out
}

fn push_memory(out: &mut String, meminfo: &str) {
    let kib = |word: &str| {
        meminfo
            .lines()
            .find_map(|line| line.strip_prefix(word)?.split_whitespace().next()?.parse::<u64>().ok())
    };
    if let (Some(total), Some(available)) = (kib("MemTotal:"), kib("MemAvailable:")) {
        let _ = writeln!(out, "memory: {} of {} MiB available", available / 1024, total / 1024);
    }
    if let (Some(total), Some(free)) = (kib("SwapTotal:"), kib("SwapFree:"))
        && total > 0
    {
        let _ = writeln!(out, "swap: {} of {} MiB free", free / 1024, total / 1024);
    }
}

fn push_temperature(out: &mut String, zone: usize) {
    let at = |file: &str| proc_text(&format!("/sys/class/thermal/thermal_zone{zone}/{file}"));
    let milli = at("temp").and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(milli) = milli {
        let kind = at("type").unwrap_or_default();
        let _ = writeln!(out, "temperature ({}): {:.1} C", kind.trim(), f64::from(milli) / 1_000.0);
    }
}

fn push_uptime(out: &mut String, text: &str) {
    let seconds = text.split(['.', ' ']).next().and_then(|whole| whole.parse::<u64>().ok());
    if let Some(s) = seconds {
        let _ = writeln!(
            out,
            "uptime: {} days {:02}:{:02}:{:02}",
            s / 86_400,
            s / 3_600 % 24,
            s / 60 % 60,
            s % 60
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_load_memory_disk_and_uptime() {
        let text = describe(Path::new("/"));
        for word in ["load (1, 5, 15 min): ", "memory: ", "disk: ", "uptime: "] {
            assert!(text.lines().any(|line| line.starts_with(word)), "{word} in {text}");
        }
        assert!(text.len() < 1_000);
    }

    #[test]
    fn numbers_of_the_kernel_become_words() {
        let mut out = String::new();
        push_memory(&mut out, "MemTotal:  2048 kB\nMemAvailable: 1024 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
        push_uptime(&mut out, "93784.25 1.0");
        assert_eq!(out, "memory: 1 of 2 MiB available\nuptime: 1 days 02:03:04\n");
        push_memory(&mut out, "nonsense");
        push_uptime(&mut out, "");
        assert_eq!(out.lines().count(), 2);
    }
}
