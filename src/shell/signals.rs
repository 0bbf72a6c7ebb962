//! Signals as a stream for the loop: SIGTERM and SIGINT ask to stop, SIGHUP asks to read the config again.
//!
//! A handler writes a byte into a socket pair, the loop reads it. The second SIGTERM or SIGINT ends the process within
//! the handler, with 128 + its number, whatever the loop is doing. SIGPIPE is ignored by the Rust runtime already.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::low_level::pipe;

use crate::shell::reactor::Async;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM or SIGINT: end in good order.
    Stop,
    /// SIGHUP: read the config again.
    Reload,
}

/// The receiving ends. Made once in a process: the handlers stay for its life.
#[derive(Debug)]
pub struct Signals {
    stop: Async<UnixStream>,
    reload: Async<UnixStream>,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    /// No socket pair could be made, or the kernel refused a handler.
    pub fn new() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // This order matters: the first signal finds the flag unset, and sets it for the second.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self { stop: pipe_of(&[SIGTERM, SIGINT])?, reload: pipe_of(&[SIGHUP])? })
    }

    /// The next signal. Several of one kind that came while nobody waited are one.
    ///
    /// # Errors
    /// The pipe could not be read, which does not happen while the process has its descriptors.
    pub async fn next(&self) -> io::Result<Signal> {
        let stop = async { drain(&self.stop).await.map(|()| Signal::Stop) };
        let reload = async { drain(&self.reload).await.map(|()| Signal::Reload) };
        futures_lite::future::or(stop, reload).await
    }
}

fn pipe_of(signals: &[i32]) -> io::Result<Async<UnixStream>> {
    let (read, write) = UnixStream::pair()?;
    for signal in signals {
        pipe::register(*signal, write.try_clone()?)?;
    }
    Async::new(read)
}

async fn drain(pipe: &Async<UnixStream>) -> io::Result<()> {
    let mut bytes = [0; 64];
    match pipe.read_with(|mut pipe| pipe.read(&mut bytes)).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shell::reactor::block_on;
    use signal_hook::low_level::raise;

    // One test for all that come once: handlers belong to the whole process.
    #[test]
    fn each_signal_arrives_as_what_it_asks_for() {
        let signals = Signals::new().expect("handlers");
        raise(SIGHUP).expect("raise");
        raise(SIGHUP).expect("raise");
        assert_eq!(block_on(signals.next()).expect("a signal"), Signal::Reload);
        raise(SIGTERM).expect("raise");
        assert_eq!(block_on(signals.next()).expect("a signal"), Signal::Stop);
    }

    #[test]
    #[ignore = "ends the process: the next test runs it in one of its own"]
    fn a_process_that_is_asked_twice() {
        let _signals = Signals::new().expect("handlers");
        raise(SIGINT).expect("raise");
        raise(SIGTERM).expect("raise");
    }

    #[test]
    fn the_second_request_to_stop_ends_the_process_at_once() {
        let child = std::process::Command::new(std::env::current_exe().expect("this test"))
            .args(["--ignored", "--exact", "shell::signals::tests::a_process_that_is_asked_twice"])
            .output()
            .expect("it runs");
        assert_eq!(child.status.code(), Some(128 + SIGTERM), "{child:?}");
    }
}
