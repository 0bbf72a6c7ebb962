//! Outgoing HTTP: blocking ureq in at most `limits::CALLS_MAX` helper threads, so that a slow peer never holds the loop.
//!
//! A call starts all of them: how much a run needs does not depend on which calls happened to meet. After a rest all of them
//! end, and their stacks go back to the kernel: between two beats there are none. Connections are not kept: every call opens its own and says `Connection: close`. A kept one would be
//! closed by most peers after five seconds, between two beats anyway, and a close that crosses a request looks like a
//! broken peer. TLS sessions are resumed instead, which saves the costly half of the handshake.
//!
//! Redirects are answers like any other, cookies and proxies do not exist.

use std::cell::Cell;
use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use async_channel::{Receiver, Sender};
use futures_lite::future;
use ureq::Agent;
use ureq::http;
use ureq::unversioned::transport::{Connector, TcpConnector};

use super::reactor::Timer;
use super::resolve::{self, InThread, PrivateName};
use super::tls::Tls;
use crate::agent::ids::CallId;
use crate::agent::input::Fault;
use crate::agent::limits::{CALLS_MAX, REPLY_BYTES_MAX};
use crate::wire::{AddressGuard, CallResult, HttpReply, HttpRequest};

/// Stack of a helper thread in bytes. Measured on x86-64, release build: a plain call touches 28 KiB of it, a TLS
/// handshake 40 KiB; the rest is for C libraries whose look-ups take more. Untouched pages cost nothing.
const STACK_BYTES: usize = 192 * 1024;
/// How long no call is in flight until the helper threads end.
const REST: Duration = Duration::from_secs(2);
/// ureq's buffers in each direction, in bytes. Its default is 128 KiB each.
const BUFFER_BYTES: usize = 8 * 1024;
/// Largest head of an answer in bytes: one less than the buffer, so that a larger one is told from a broken connection.
const REPLY_HEAD_BYTES_MAX: usize = BUFFER_BYTES - 1;
/// How much of an answer is read at once, in bytes.
const PIECE_BYTES: usize = 4 * 1024;
/// How much is kept of an answer that is only looked at for its status and a few words, in bytes. The rest is not read.
const WORDS_BYTES_MAX: u64 = 4 * 1024;

/// What a helper thread is asked for: a call, or nothing more.
type Job = Option<(CallId, HttpRequest)>;

/// The loop's end of the helper threads.
#[derive(Debug)]
pub struct Calls {
    agent: Agent,
    jobs: Sender<Job>,
    asked: Receiver<Job>,
    answer: Sender<(CallId, CallResult)>,
    done: Receiver<(CallId, CallResult)>,
    in_flight: Cell<usize>,
    threads: Cell<usize>,
}

impl Calls {
    /// No thread is started yet. `extra_ca_pem`: certificates that are trusted beside the public ones, for servers of the LAN.
    ///
    /// # Errors
    /// The PEM text holds no certificate, or a damaged one.
    pub fn new(extra_ca_pem: Option<&[u8]>) -> io::Result<Self> {
        // A place for each call in flight, and for each thread that was told to end and has not read it.
        let (jobs, asked) = async_channel::bounded(2 * CALLS_MAX);
        // A place for each call in flight, so that a helper never waits for the loop, and as many for refusals.
        let (answer, done) = async_channel::bounded(2 * CALLS_MAX);
        let agent = agent_with(Tls::new(extra_ca_pem)?);
        Ok(Self { agent, jobs, asked, answer, done, in_flight: Cell::new(0), threads: Cell::new(0) })
    }

    /// Starts a call; it is answered by [`Calls::next`]. Beyond `CALLS_MAX` in flight, or if no thread can be had, the
    /// answer is `Fault::Local`.
    pub fn start(&self, id: CallId, request: HttpRequest) {
        let in_flight = self.in_flight.get() + 1;
        for _ in self.threads.get()..CALLS_MAX {
            self.start_thread();
        }
        let is_asked = in_flight <= CALLS_MAX
            && self.threads.get() > 0
            && self.jobs.try_send(Some((id, request))).is_ok();
        if is_asked || self.answer.try_send((id, Err(Fault::Local))).is_ok() {
            self.in_flight.set(in_flight);
        }
    }

    /// The next call that came back, in any order. Waits for ever if none is in flight; meanwhile the threads end.
    pub async fn next(&self) -> (CallId, CallResult) {
        let rested = async {
            while self.threads.get() > 0 {
                Timer::after(REST).await;
                if self.in_flight.get() == 0 {
                    self.end_threads();
                }
            }
            future::pending().await
        };
        match future::or(self.done.recv(), rested).await {
            Ok(done) => {
                self.in_flight.set(self.in_flight.get().saturating_sub(1));
                done
            }
            Err(_) => future::pending().await,
        }
    }

    /// Helper threads that exist.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.threads.get()
    }

    /// Each word ends one thread, whichever reads it: those that a new call starts meanwhile are as good.
    fn end_threads(&self) {
        while self.threads.get() > 0 && self.jobs.try_send(None).is_ok() {
            self.threads.set(self.threads.get() - 1);
        }
    }

    fn start_thread(&self) {
        let (agent, asked, answer) = (self.agent.clone(), self.asked.clone(), self.answer.clone());
        let work = move || serve(&agent, &asked, &answer);
        let number = self.threads.get() + 1;
        match thread::Builder::new().name(format!("call-{number}")).stack_size(STACK_BYTES).spawn(work) {
            Ok(_) => self.threads.set(number),
            Err(error) => log::warn!("no_thread_for_calls threads={} error=\"{error}\"", self.threads.get()),
        }
    }
}

fn serve(agent: &Agent, asked: &Receiver<Job>, answer: &Sender<(CallId, CallResult)>) {
    while let Ok(Some((id, request))) = asked.recv_blocking() {
        let result = call(agent, request);
        if answer.send_blocking((id, result)).is_err() {
            return;
        }
    }
}

fn agent_with(tls: Tls) -> Agent {
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent(crate::wire::USER_AGENT)
        .accept_encoding("identity")
        .max_response_header_size(REPLY_HEAD_BYTES_MAX)
        .input_buffer_size(BUFFER_BYTES)
        .output_buffer_size(BUFFER_BYTES)
        .max_idle_connections(0)
        .build();
    Agent::with_parts(config, ().chain(TcpConnector::default()).chain(tls), InThread)
}

fn call(agent: &Agent, request: HttpRequest) -> CallResult {
    resolve::set_guard(request.guard);
    let over_tls = request.url.starts_with("https:");
    let guard = request.guard;
    answer_of(agent, request)
        .and_then(|response| reply_of(response, over_tls, guard))
        .map_err(|error| fault_of(error, over_tls))
}

fn answer_of(agent: &Agent, request: HttpRequest) -> Result<http::Response<ureq::Body>, ureq::Error> {
    let mut builder = http::Request::builder().method(request.method).uri(request.url);
    for (name, value) in request.headers {
        builder = builder.header(name, value);
    }
    builder = builder.header(http::header::CONNECTION, "close");
    let timeout = Some(Duration::from_millis(request.timeout_ms.max(1)));
    if request.method == "GET" {
        let built = builder.body(())?;
        agent.run(agent.configure_request(built).timeout_global(timeout).build())
    } else {
        let built = builder.body(request.body)?;
        agent.run(agent.configure_request(built).timeout_global(timeout).build())
    }
}

fn reply_of(
    response: http::Response<ureq::Body>,
    over_tls: bool,
    guard: AddressGuard,
) -> Result<HttpReply, ureq::Error> {
    let (head, body) = response.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // Of users' own endpoints, and of everything but a success, only the first words matter.
    let only_words = guard == AddressGuard::NoPrivateNames || !head.status.is_success();
    let body = if only_words { first_words(body) } else { whole_body(body)? };
    Ok(HttpReply {
        status: head.status.as_u16(),
        retry_after: text(http::header::RETRY_AFTER),
        date: text(http::header::DATE),
        body,
        over_tls,
    })
}

/// The beginning, as far as it came: the status stands, whatever happens to the rest.
fn first_words(body: ureq::Body) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = body.into_reader().take(WORDS_BYTES_MAX).read_to_end(&mut bytes);
    bytes
}

fn whole_body(body: ureq::Body) -> Result<Vec<u8>, ureq::Error> {
    let too_large = || ureq::Error::BodyExceedsLimit(REPLY_BYTES_MAX as u64);
    let announced = body.content_length().unwrap_or(0);
    if announced > REPLY_BYTES_MAX as u64 {
        return Err(too_large());
    }
    let mut reader = body.into_reader();
    let mut bytes = Vec::new();
    let mut piece = [0; PIECE_BYTES];
    loop {
        let n = match reader.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ureq::Error::from(error)),
        };
        let wanted = bytes.len() + n;
        if wanted > REPLY_BYTES_MAX {
            return Err(too_large());
        }
        // Doubled as ever, but not beyond what may come: answers without end in all helper threads would take twice that.
        if wanted > bytes.capacity() {
            bytes.reserve_exact(wanted.next_power_of_two().min(REPLY_BYTES_MAX) - bytes.len());
        }
        bytes.extend_from_slice(&piece[..n]);
    }
}

/// What an error of ureq means. Under TLS, bytes that make no sense come as `InvalidData`: a certificate that is not
/// accepted, an alert of the peer, a peer that speaks no TLS.
fn fault_of(error: ureq::Error, over_tls: bool) -> Fault {
    use ureq::Error;
    match error {
        Error::Timeout(_) => Fault::Timeout,
        Error::HostNotFound => Fault::Dns,
        Error::Other(why) if why.is::<PrivateName>() => Fault::PrivateAddress,
        Error::BodyExceedsLimit(_) | Error::LargeResponseHeader(..) => Fault::TooLarge,
        Error::Protocol(_) => Fault::Garbage,
        Error::Tls(_) | Error::Pem(_) | Error::Rustls(_) | Error::TlsRequired => Fault::Tls,
        Error::Io(error) if is_local(&error) => Fault::Local,
        Error::Io(error) => fault_of_io(error.kind(), over_tls),
        _ => Fault::Transport,
    }
}

/// Whether this machine has no memory, descriptor or buffer left: ENOMEM, ENFILE, EMFILE, ENOBUFS.
fn is_local(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(12 | 23 | 24 | 105))
}

fn fault_of_io(kind: io::ErrorKind, over_tls: bool) -> Fault {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, InvalidData, NotConnected,
        TimedOut, UnexpectedEof, WouldBlock,
    };
    match kind {
        TimedOut | WouldBlock => Fault::Timeout,
        ConnectionRefused => Fault::Refused,
        ConnectionReset | ConnectionAborted | BrokenPipe | NotConnected | UnexpectedEof => Fault::Reset,
        InvalidData if over_tls => Fault::Tls,
        _ => Fault::Transport,
    }
}

#[cfg(test)]
#[path = "calls_tests.rs"]
mod tests;
