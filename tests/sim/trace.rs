//! What happened, one line each: hashed always, the last lines kept, all of them printed on request.
//!
//! Kept per thread, so that it survives the panic that a failed check or a broken assertion raises.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt::{Arguments, Write};

const LINES_KEPT: usize = 60;

struct Trace {
    at: u64,
    hash: u64,
    count: u64,
    lines: VecDeque<String>,
    is_printed: bool,
}

thread_local! {
    static TRACE: RefCell<Trace> = const {
        RefCell::new(Trace { at: 0, hash: 0, count: 0, lines: VecDeque::new(), is_printed: false })
    };
}

/// Forgets everything; from here on each line is printed if `is_printed`.
pub fn begin(is_printed: bool) {
    TRACE.with_borrow_mut(|trace| {
        *trace = Trace { at: 0, hash: 0xcbf2_9ce4_8422_2325, count: 0, lines: VecDeque::new(), is_printed };
    });
}

/// Sets the virtual time that is written before each line, in milliseconds.
pub fn at(now: u64) {
    TRACE.with_borrow_mut(|trace| trace.at = now);
}

/// Adds a line.
#[allow(clippy::print_stdout, reason = "a replay is read on the terminal")]
pub fn line(text: Arguments<'_>) {
    TRACE.with_borrow_mut(|trace| {
        let mut line = if trace.lines.len() < LINES_KEPT {
            String::with_capacity(96)
        } else {
            trace.lines.pop_front().unwrap_or_default()
        };
        line.clear();
        let (minutes, rest) = (trace.at / 60_000, trace.at % 60_000);
        let _ = write!(line, "{minutes:4}:{:02}.{:03} {text}", rest / 1_000, rest % 1_000);
        for byte in line.bytes() {
            trace.hash = (trace.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        trace.count += 1;
        if trace.is_printed {
            println!("{line}");
        }
        trace.lines.push_back(line);
    });
}

/// Hash and number of all lines so far.
pub fn digest() -> (u64, u64) {
    TRACE.with_borrow(|trace| (trace.hash, trace.count))
}

/// The last lines, oldest first.
pub fn tail() -> String {
    TRACE.with_borrow(|trace| trace.lines.iter().fold(String::new(), |all, line| all + line + "\n"))
}

/// `note!("...", ...)`: a line of the trace.
macro_rules! note {
    ($($arg:tt)*) => { $crate::trace::line(format_args!($($arg)*)) };
}
pub(crate) use note;
