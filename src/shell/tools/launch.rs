//! What stands between the agent and a command: two short-lived processes of this same program.
//!
//! ```text
//! agent --stdin pipe--> supervisor --> limiter, which becomes the command --> whatever that starts
//! ```
//!
//! The supervisor adopts everything that the command leaves behind (it is a "subreaper"). When the command ends, when
//! the agent closes the pipe, or when the agent is no more, whatever ended it, the supervisor kills all of them, says
//! on its stderr how the command ended, and goes. The limiter is a process of its own so that limits, and the kernel's
//! promise to kill the command with its supervisor, hold before the first instruction of the command.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::SIGCHLD;

use super::root::Root;

/// The words, first on the command line, that start these processes. Not for people, so not in the table of commands.
pub(super) const SUPERVISE: &str = "tool-supervisor";
const LIMIT: &str = "tool-limiter";
/// How often what is left behind is looked for before the supervisor gives up; a look waits `LOOK_TIME` at most.
const LOOKS_MAX: u32 = 200;
const LOOK_TIME: Duration = Duration::from_millis(10);
/// Exit code of a command that could not be started, as of shells.
const NOT_STARTED: u8 = 127;

/// What a command may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Address space of each process in KiB.
    pub(super) memory_kib: u32,
    /// Processor time of each process in seconds.
    pub(super) cpu_s: u64,
}

/// The words behind the program's own for a supervisor of this command. `cwd` is below `root`.
pub(super) fn words(bounds: Bounds, root: &str, cwd: &str, command: &[String]) -> Vec<OsString> {
    let numbers = [bounds.memory_kib.to_string(), bounds.cpu_s.to_string()];
    let own = [SUPERVISE, &numbers[0], &numbers[1], root, cwd].map(OsString::from);
    own.into_iter().chain(command.iter().map(OsString::from)).collect()
}

/// Runs as supervisor or limiter if the words say so. `program`: how this program is started.
pub fn main(program: &[OsString], words: &[OsString]) -> Option<ExitCode> {
    let (first, rest) = words.split_first()?;
    if first == SUPERVISE {
        Some(supervise(program, rest))
    } else if first == LIMIT {
        Some(limit(rest))
    } else {
        None
    }
}

/// Says how the command ended, for [`super::command`].
fn tell(line: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::SUCCESS
}

fn supervise(program: &[OsString], words: &[OsString]) -> ExitCode {
    match try_supervise(program, words) {
        Ok(Some(status)) => match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => tell(&format!("exit {code}")),
            (None, signal) => tell(&format!("signal {}", signal.unwrap_or(0))),
        },
        Ok(None) => tell("stopped"),
        Err(error) => tell(&format!("fault {}", super::text::words_of(&error))),
    }
}

/// `None`: the agent wanted it stopped, or is gone.
fn try_supervise(program: &[OsString], words: &[OsString]) -> io::Result<Option<WaitStatus>> {
    let [memory_kib, cpu_s, root, cwd, command @ ..] = words else {
        return Err(io::Error::other("words are missing"));
    };
    let (Some(root), Some(cwd)) = (root.to_str(), cwd.to_str()) else {
        return Err(io::Error::other("the folder is not UTF-8"));
    };
    let folder = Root::open(root)?.open_at(cwd, OFlags::RDONLY | OFlags::DIRECTORY)?;
    rustix::process::fchdir(folder)?;
    // Without these two the worst that happens is that less is adopted, or that ends are seen later.
    let _ = rustix::process::set_child_subreaper(Some(rustix::process::getpid()));
    let (ended, ends) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGCHLD, ends)?;
    ended.set_nonblocking(true)?;
    let main = start(program, [memory_kib, cpu_s], command)?;
    let status = watch(main, &ended)?;
    sweep(main, &ended);
    Ok(status)
}

fn start(program: &[OsString], limits: [&OsString; 2], command: &[OsString]) -> io::Result<Pid> {
    let (name, first) = program.split_first().ok_or_else(|| io::Error::other("no program"))?;
    let merged = io::stdout().as_fd().try_clone_to_owned()?;
    let child = Command::new(name)
        .args(first)
        .arg(LIMIT)
        .args(limits)
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::inherit())
        .stderr(Stdio::from(merged))
        .process_group(0)
        .spawn()?;
    Ok(Pid::from_child(&child))
}

/// Waits for the command or for the end of the agent's pipe.
fn watch(main: Pid, ended: &UnixStream) -> io::Result<Option<WaitStatus>> {
    let stdin = io::stdin();
    loop {
        while let Some((pid, status)) = reaped() {
            if pid == main {
                return Ok(Some(status));
            }
        }
        let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(ended, PollFlags::IN)];
        match rustix::event::poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        if !fds[0].revents().is_empty() {
            return Ok(None);
        }
        drain(ended);
    }
}

/// Kills the command's group and, round after round, all children that are left, until there are none.
fn sweep(main: Pid, ended: &UnixStream) {
    let _ = rustix::process::kill_process_group(main, Signal::KILL);
    for _ in 0..LOOKS_MAX {
        for child in children() {
            let _ = rustix::process::kill_process(child, Signal::KILL);
        }
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        let time = Timespec { tv_sec: 0, tv_nsec: LOOK_TIME.subsec_nanos().into() };
        let _ = rustix::event::poll(&mut [PollFd::new(ended, PollFlags::IN)], Some(&time));
        drain(ended);
    }
}

fn reaped() -> Option<(Pid, WaitStatus)> {
    rustix::process::wait(WaitOptions::NOHANG).ok().flatten()
}

fn drain(mut ended: &UnixStream) {
    while io::Read::read(&mut ended, &mut [0; 64]).is_ok_and(|read| read > 0) {}
}

/// The processes whose parent this one is, from the listing of all: few kernels tell it another way.
fn children() -> Vec<Pid> {
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let child = |name: &OsStr| {
        let pid: i32 = name.to_str()?.parse().ok()?;
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; behind it come the state and the parent.
        let behind = &stat[stat.iter().rposition(|b| *b == b')')? + 1..];
        let parent = std::str::from_utf8(behind).ok()?.split_whitespace().nth(1)?;
        (parent.parse() == Ok(own)).then(|| Pid::from_raw(pid)).flatten()
    };
    entries.filter_map(|entry| child(&entry.ok()?.file_name())).collect()
}

/// Takes the limits upon itself and becomes the command.
fn limit(words: &[OsString]) -> ExitCode {
    let [memory_kib, cpu_s, name, arguments @ ..] = words else { return ExitCode::from(NOT_STARTED) };
    if let Err(error) = take_limits(memory_kib, cpu_s) {
        let _ = writeln!(io::stderr(), "limits cannot be set: {error}");
        return ExitCode::from(NOT_STARTED);
    }
    let error = Command::new(name).args(arguments).exec();
    let why = super::text::words_of(&error);
    let _ = writeln!(io::stderr(), "{} cannot be started: {why}", name.to_string_lossy());
    ExitCode::from(NOT_STARTED)
}

fn take_limits(memory_kib: &OsStr, cpu_s: &OsStr) -> io::Result<()> {
    let number = |text: &OsStr| text.to_str()?.parse::<u64>().ok();
    let (Some(memory_kib), Some(cpu_s)) = (number(memory_kib), number(cpu_s)) else {
        return Err(io::Error::other("no numbers"));
    };
    // A limit that is stricter already cannot be raised.
    let set = |resource, limit: u64| {
        let limit = rustix::process::getrlimit(resource).maximum.map_or(limit, |hard| hard.min(limit));
        rustix::process::setrlimit(resource, Rlimit { current: Some(limit), maximum: Some(limit) })
    };
    let supervisor = rustix::process::getppid();
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if supervisor != rustix::process::getppid() {
        return Err(io::Error::other("the supervisor is gone"));
    }
    // If memory runs out, the kernel takes a command before it takes the agent.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    set(Resource::Core, 0)?;
    set(Resource::Cpu, cpu_s)?;
    set(Resource::As, memory_kib.saturating_mul(1024))?;
    Ok(())
}
