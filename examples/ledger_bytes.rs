//! What a commit costs the flash: bytes and flushes, counted below redb on a real file. And what it costs at the cap, reads
//! included, on a file in memory.
//! `cargo run --release --example ledger_bytes`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chainbot::agent::event::{Event, JsonText, Severity, Source};
use chainbot::agent::ids::{DedupeKey, Destination, Seq};
use chainbot::agent::memory::Write;
use chainbot::agent::time::Wall;
use chainbot::ledger::{Ledger, Limits, OpenError};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

const LIMITS: Limits = Limits { size_max_bytes: 16 << 20, events_max: 100_000 };
const ROUNDS: u64 = 50;

/// A webhook of the usual size.
fn event(seq: u64) -> Event {
    Event {
        seq: Seq(seq),
        at: Wall(1_700_000_000_000 + seq as i64),
        kind: "workflow_completed".to_owned(),
        source: Source::Chainbot,
        severity: Severity::Info,
        message: "workflow nightly-report completed".to_owned(),
        metadata: JsonText(format!("{{\"workflow_id\":\"w-{seq:06}\",\"data\":\"{}\"}}", "x".repeat(200))),
    }
}

fn writes(seqs: std::ops::Range<u64>, with_ids: bool) -> Vec<Write> {
    let mut writes = Vec::new();
    for seq in seqs {
        writes.push(Write::Event(event(seq)));
        if with_ids {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&seq.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
            writes.push(Write::Inbox { key: DedupeKey(key), seq: Seq(seq) });
        }
    }
    writes
}

/// Bytes and flushes of one commit, on average.
fn cost(ledger: &Ledger, mut batch: impl FnMut() -> Vec<Write>) -> (u64, f64) {
    let before = ledger.stats().expect("stats");
    for _ in 0..ROUNDS {
        ledger.commit(&[batch()]).expect("commits");
    }
    let after = ledger.stats().expect("stats");
    (
        (after.bytes_written - before.bytes_written) / ROUNDS,
        (after.syncs - before.syncs) as f64 / ROUNDS as f64,
    )
}

/// A file in memory that counts its reads.
#[derive(Debug)]
struct Counted(InMemoryBackend, AtomicU64);

impl StorageBackend for Counted {
    fn len(&self) -> std::io::Result<u64> {
        self.0.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write(offset, data)
    }
}

/// What commits of `count` events with ids cost a ledger that is at its cap.
#[expect(clippy::print_stdout, reason = "what a measurement is for")]
fn at_the_cap(count: u64) -> Result<(), OpenError> {
    let disk = Arc::new(Counted(InMemoryBackend::new(), AtomicU64::new(0)));
    let (ledger, _) = Ledger::open_on(Arc::clone(&disk) as Arc<dyn StorageBackend>, LIMITS, 1)?;
    let mut next = 1;
    while ledger.commit(&[writes(next..next + 64, true)]).expect("commits").oldest < Seq(20_000) {
        next += 64;
    }
    next += 64;
    let (before, reads) = (ledger.stats().expect("stats"), disk.1.load(Ordering::Relaxed));
    let (commits, mut kept) = (30_000 / count, 0);
    for _ in 0..commits {
        let report = ledger.commit(&[writes(next..next + count, true)]).expect("commits");
        next += count;
        kept += next - report.oldest.0;
    }
    let (after, events) = (ledger.stats().expect("stats"), commits * count);
    println!(
        "at the cap, {count} events with ids in a commit: {} reads, {:.1} flushes, {} bytes for 1,000 events; {} kept",
        (disk.1.load(Ordering::Relaxed) - reads) * 1_000 / events,
        (after.syncs - before.syncs) as f64 * 1_000.0 / events as f64,
        (after.bytes_written - before.bytes_written) * 1_000 / events,
        kept / commits
    );
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a measurement is for")]
fn main() -> Result<(), OpenError> {
    let path = std::env::temp_dir().join(format!("chainbot-ledger-bytes-{}", std::process::id()));
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let (ledger, _) = Ledger::open_file(&path, LIMITS, 1)?;
    let stats = ledger.stats().expect("stats");
    println!(
        "creation: {} bytes in {} flushes, file {} bytes",
        stats.bytes_written,
        stats.syncs,
        length(&path)
    );
    drop(ledger);
    println!("after a clean stop: file {} bytes", length(&path));
    let (ledger, _) = Ledger::open_file(&path, LIMITS, 1)?;
    let stats = ledger.stats().expect("stats");
    println!("opening after a clean stop: {} bytes in {} flushes", stats.bytes_written, stats.syncs);
    let mut next = 1;
    for count in [1, 10, 16, 64] {
        for with_ids in [false, true] {
            let (bytes, syncs) = cost(&ledger, || {
                next += count;
                writes(next - count..next, with_ids)
            });
            let what = if with_ids { "events with ids" } else { "events" };
            println!("commit of {count} {what}: {bytes} bytes in {syncs} flushes, {} each", bytes / count);
        }
    }
    let mut seq = 0;
    let (bytes, syncs) = cost(&ledger, || {
        seq += 1;
        vec![Write::Cursor { destination: Destination::Alexos, seq: Seq(seq) }]
    });
    println!("commit of a cursor: {bytes} bytes in {syncs} flushes");
    let stats = ledger.stats().expect("stats");
    println!("{} events in a file of {} bytes", stats.events, stats.file_bytes);
    drop(ledger);
    println!("after a clean stop: file {} bytes", length(&path));
    let _ = std::fs::remove_file(&path);
    at_the_cap(1)?;
    at_the_cap(44)
}
