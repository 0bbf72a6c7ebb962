//! `run-command`, the agent's side: starts a supervisor (`launch.rs`), reads what the command writes, and lets go.
//!
//! The pipe to the supervisor's stdin is the leash: whoever drops it has the command and all that it started killed.

use std::ffi::OsString;
use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use futures_lite::future;

use super::launch::{Bounds, words};
use super::text::{Ends, failed, words_of};
use crate::agent::brain::setup::ToolsSetup;
use crate::agent::brain::speech::ToolResult;
use crate::agent::limits::COMMAND_OUTPUT_BYTES_MAX;
use crate::shell::reactor::{Async, Timer};

/// Time for the supervisor to kill everything and go. Beyond: it is killed itself, and the command with it.
const END_TIME: Duration = Duration::from_secs(3);
/// Where programs are looked for if the agent itself was not told.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Longest line of the supervisor in bytes.
const LINE_BYTES_MAX: usize = 256;

/// Why reading stopped.
enum Over {
    /// The supervisor is gone; what it said.
    Told(String),
    Flooded,
    Late,
    Stopped,
}

/// Runs it to its end, or until `stop` is ready or its time is over.
pub(super) async fn run(
    program: &[OsString],
    setup: &ToolsSetup,
    command: &[String],
    cwd: &str,
    stop: impl Future<Output = ()>,
) -> ToolResult {
    match Running::start(program, setup, command, cwd) {
        Ok(running) => running.finish(setup, stop).await,
        Err(error) => failed(format!("the command cannot be started: {}", words_of(&error))),
    }
}

struct Running {
    child: Child,
    leash: Option<ChildStdin>,
    output: Async<ChildStdout>,
    told: Async<ChildStderr>,
    ends: Ends,
}

impl Running {
    fn start(program: &[OsString], setup: &ToolsSetup, command: &[String], cwd: &str) -> io::Result<Self> {
        let (name, first) = program.split_first().ok_or(io::ErrorKind::NotFound)?;
        let bounds =
            Bounds { memory_kib: setup.memory_kib_max, cpu_s: setup.run_time_ms.div_ceil(1_000).max(1) };
        let path = std::env::var_os("PATH").unwrap_or_else(|| PATH.into());
        let mut child = Command::new(name)
            .args(first)
            .args(words(bounds, &setup.root, cwd, command))
            .env_clear()
            .env("PATH", path)
            .env("HOME", &setup.root)
            .env("LANG", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let (output, told) = (child.stdout.take(), child.stderr.take());
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        Ok(Self {
            leash: child.stdin.take(),
            output: Async::new(output.ok_or_else(missing)?)?,
            told: Async::new(told.ok_or_else(missing)?)?,
            ends: Ends::new(setup.output_bytes_max),
            child,
        })
    }

    async fn finish(mut self, setup: &ToolsSetup, stop: impl Future<Output = ()>) -> ToolResult {
        let late = async {
            Timer::after(Duration::from_millis(setup.run_time_ms)).await;
            Over::Late
        };
        let stop = async {
            stop.await;
            Over::Stopped
        };
        let first = future::or(self.follow(true), future::or(late, stop)).await;
        self.leash = None;
        let last = match first {
            Over::Told(line) => Over::Told(line),
            why => {
                let patience = async {
                    Timer::after(END_TIME).await;
                    Over::Late
                };
                if !matches!(future::or(self.follow(false), patience).await, Over::Told(_)) {
                    let _ = self.child.kill();
                }
                why
            }
        };
        self.drain();
        let _ = self.child.wait();
        result(self.ends.into_text(), &last, setup.run_time_ms)
    }

    /// Reads until the supervisor is gone; with `may_flood` not beyond `COMMAND_OUTPUT_BYTES_MAX`.
    async fn follow(&mut self, may_flood: bool) -> Over {
        let (output, ends) = (&self.output, &mut self.ends);
        let reading = async {
            while read_some(output, ends).await {
                if may_flood && ends.seen() > COMMAND_OUTPUT_BYTES_MAX as u64 {
                    return Over::Flooded;
                }
            }
            pending().await
        };
        future::or(listen(&self.told), reading).await
    }

    /// What is in the pipe still. Someone who was not killed may hold it open, so its end is not waited for.
    fn drain(&mut self) {
        let mut part = [0; 4096];
        while let Ok(read) = self.output.get_ref().as_fd_read(&mut part)
            && read > 0
            && self.ends.seen() <= 2 * COMMAND_OUTPUT_BYTES_MAX as u64
        {
            self.ends.push(&part[..read]);
        }
    }
}

/// Whether there may be more.
async fn read_some(output: &Async<ChildStdout>, ends: &mut Ends) -> bool {
    let mut part = [0; 4096];
    match output.read_with(|pipe| pipe.as_fd_read(&mut part)).await {
        Ok(read) if read > 0 => {
            ends.push(&part[..read]);
            // A command that writes without a pause must not keep the loop from anybody else.
            future::yield_now().await;
            true
        }
        _ => false,
    }
}

/// All that the supervisor says, until it is gone.
async fn listen(told: &Async<ChildStderr>) -> Over {
    let mut line = Vec::new();
    let mut part = [0; 256];
    loop {
        match told.read_with(|pipe| pipe.as_fd_read(&mut part)).await {
            Ok(read) if read > 0 => {
                let room = LINE_BYTES_MAX.saturating_sub(line.len());
                line.extend_from_slice(&part[..read.min(room)]);
            }
            _ => return Over::Told(String::from_utf8_lossy(&line).trim().to_owned()),
        }
    }
}

/// Reading through a shared reference, which std's pipes do not offer.
trait ReadShared: AsFd {
    fn as_fd_read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self.as_fd(), bytes)?)
    }
}

impl ReadShared for ChildStdout {}
impl ReadShared for ChildStderr {}

fn result(mut text: String, over: &Over, run_time_ms: u64) -> ToolResult {
    let (note, exit_code) = match over {
        Over::Told(line) => match line.split_once(' ') {
            Some(("exit", code)) => (None, code.parse().ok()),
            Some(("signal", number)) => (Some(format!("ended by signal {number}")), None),
            Some(("fault", why)) => (Some(format!("the command cannot be started: {why}")), None),
            _ => (Some("nobody knows how it ended".to_owned()), None),
        },
        Over::Flooded => (Some(format!("killed: it wrote more than {COMMAND_OUTPUT_BYTES_MAX} bytes")), None),
        Over::Late => (Some(format!("killed: it took longer than {run_time_ms} ms")), None),
        Over::Stopped => (Some("killed: it was stopped".to_owned()), None),
    };
    let note = note.unwrap_or_else(|| format!("exit code {}", exit_code.unwrap_or(0)));
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("[{note}]"));
    ToolResult { is_ok: exit_code == Some(0), text, exit_code }
}
