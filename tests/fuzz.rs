//! The fuzz targets with the stable compiler: the corpus in `fuzz/corpus`, and what a seeded generator makes of it. The
//! same seed makes the same inputs. `FUZZ_ROUNDS=1000000 cargo test --test fuzz` goes on for longer, `FUZZ_SEED` elsewhere.
#![allow(clippy::unwrap_used, reason = "a test may panic")]
#![allow(dead_code, reason = "a fuzzer uses less of the simulator than its tests do")]

#[path = "../fuzz/targets.rs"]
mod targets;
include!("sim/modules.rs");

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Inputs made for each target in the plain test run.
const ROUNDS: u64 = 20_000;
/// For so many of them a world of the simulator is lived through once: it takes as long.
const ROUNDS_OF_A_WORLD: u64 = 100;
/// Largest input that is made, in bytes.
const INPUT_BYTES_MAX: usize = 4_096;
/// What parsers stumble over.
const WORDS: &[&[u8]] = &[
    b"\"type\":",
    b"\"content\":\"",
    b"\"choices\":[{\"delta\":",
    b"\"error\":",
    b"\"tool_calls\":[",
    b"\"arguments\":",
    b"data: ",
    b"\n\n",
    b"\"action\":",
    b"\"event_type\":",
    b"\"payload\":",
    b"\"data\":{}",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"1e999",
    b"-0",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"\xff",
    b"\0",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"Connection: Upgrade\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b" ",
    b":",
    b"\x81\x80\0\0\0\0",
    b"\x01\x81\0\0\0\0a",
    b"\x80\x80\0\0\0\0",
    b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x89\x80\0\0\0\0",
    b"\x82\xfe\x10\0\0\0\0\0",
    b"\x82\xff\0\0\0\0\0\x01\0\0\0\0\0\0",
    b"\x7f\xff\xff\xff\xff\xff\xff\xff",
    b"\x8a\0",
];

fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A small generator (xorshift64*): good enough to choose.
struct Dice(u64);

impl Dice {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() % (end.max(1) as u64)).unwrap()
    }

    /// Two places in order, within `len`.
    fn range(&mut self, len: usize) -> (usize, usize) {
        let (one, other) = (self.below(len + 1), self.below(len + 1));
        (one.min(other), one.max(other))
    }
}

fn mutated(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(bytes.len() + 1);
        let (from, to) = dice.range(bytes.len());
        match dice.below(8) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (from % 8)),
            1 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = (from * 31 + to) as u8),
            2 => drop(bytes.drain(from..to)),
            3 => {
                let copy = bytes[from..to].to_vec();
                bytes.splice(at..at, copy);
            }
            4 => {
                let other = &corpus[dice.below(corpus.len())];
                let (from, to) = dice.range(other.len());
                bytes.splice(at..at, other[from..to].iter().copied());
            }
            5 => bytes.truncate(at),
            _ => {
                let word = WORDS[dice.below(WORDS.len())];
                bytes.splice(at..at, word.iter().copied());
            }
        }
        bytes.truncate(INPUT_BYTES_MAX);
    }
    bytes
}

/// What `fuzz/run --keep` kept: an input in a line, in base64.
fn found(name: &str) -> Vec<Vec<u8>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fuzz/corpus/{name}.found"));
    let Ok(text) = std::fs::read_to_string(file) else { return Vec::new() };
    text.lines().map(|line| STANDARD.decode(line).unwrap()).collect()
}

fn fuzz(name: &str, target: fn(&[u8])) {
    fuzz_for(name, target, number_from("FUZZ_ROUNDS").unwrap_or(ROUNDS));
}

fn fuzz_for(name: &str, target: fn(&[u8]), rounds: u64) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut corpus: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(corpus.len() >= 3, "{name} has no corpus");
    corpus.extend(found(name));
    corpus.iter().for_each(|bytes| target(bytes));
    let seed = number_from("FUZZ_SEED").unwrap_or(1);
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    for round in 0..rounds {
        let bytes = mutated(&mut dice, &corpus);
        let end = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
        assert!(end.is_ok(), "{name}, seed {seed}, round {round}: b\"{}\"", bytes.escape_ascii());
    }
}

#[test]
fn frames_mean_the_same_however_they_are_cut() {
    fuzz("frames", targets::frames);
}

#[test]
fn messages_of_the_bus_become_events_within_their_limits_or_none() {
    fuzz("bus", targets::bus);
}

#[test]
fn what_clients_say_is_answered_with_json() {
    fuzz("dialects", targets::dialects);
}

#[test]
fn what_a_tool_touches_can_be_judged_or_it_is_refused() {
    fuzz("tools", targets::tools);
}

#[test]
fn a_head_is_whole_or_it_is_not() {
    fuzz("handshake", targets::handshake);
}

#[test]
fn answers_of_models_mean_the_same_however_they_are_cut_and_can_be_written_in_every_shape() {
    fuzz("answers", targets::answers);
}

#[test]
fn a_question_that_is_taken_can_be_asked_of_every_kind_of_provider() {
    fuzz("questions", targets::questions);
}

#[test]
fn a_record_that_can_be_read_is_one_that_was_written() {
    fuzz("ledger", targets::ledger);
}

#[test]
fn a_token_that_is_taken_was_signed() {
    fuzz("jwt", targets::jwt);
}

#[test]
fn a_line_that_does_not_fit_is_no_token() {
    fuzz("tokens", targets::tokens);
}

#[test]
fn whatever_happens_to_the_agent_keeps_its_rules() {
    fuzz_for("agent", script::live, number_from("FUZZ_ROUNDS").unwrap_or(ROUNDS) / ROUNDS_OF_A_WORLD);
}

#[test]
fn a_request_is_answered_whole_and_a_stranger_changes_nothing() {
    fuzz("requests", targets::port::requests);
}

#[test]
fn webhooks_become_events_within_their_limits_or_none() {
    fuzz("webhooks", targets::port::webhooks);
}

#[test]
fn only_what_was_signed_passes() {
    fuzz("signatures", targets::port::signatures);
}

#[test]
fn what_peers_answer_is_bounded_and_comes_back_from_the_ledger() {
    fuzz("peers", targets::port::peers);
}

#[test]
fn what_is_read_can_be_written_and_read_again() {
    fuzz("texts", targets::port::texts);
}

#[test]
fn a_config_is_taken_or_its_faults_are_told_and_secrets_stay() {
    fuzz_for("config", targets::port::config, number_from("FUZZ_ROUNDS").unwrap_or(ROUNDS) / 10);
}
