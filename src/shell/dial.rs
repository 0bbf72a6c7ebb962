//! Connections on the loop to peers: name, address, TLS.
//!
//! The look-up of a name blocks, so it has a short-lived thread of its own; of these there are `LOOK_UPS_MAX` at most, and
//! who comes later waits: a name server that is silent must not gather threads.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use async_lock::Semaphore;
use futures_lite::{AsyncRead, AsyncWrite};

use super::resolve;
use super::tls::Tls;
use super::tls_stream::TlsStream;
use crate::agent::input::Fault;
use crate::shell::reactor::Async;
use crate::wire::AddressGuard;
use crate::wire::target::Target;

/// Look-ups under way at once.
const LOOK_UPS_MAX: usize = 2;
/// Stack of a look-up's thread in bytes, as for calls (`calls.rs`).
const STACK_BYTES: usize = 192 * 1024;
/// Addresses of a name that are tried.
const ADDRESSES_MAX: usize = 4;

/// A stream of either kind.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// A connection, with TLS or without.
pub type AnyStream = Box<dyn Duplex>;

/// Opens connections.
#[derive(Debug)]
pub struct Dialer {
    tls: Tls,
    look_ups: Arc<Semaphore>,
}

impl Dialer {
    /// `extra_ca_pem`: certificates that are trusted beside the public ones.
    ///
    /// # Errors
    /// A certificate cannot be read.
    pub fn new(extra_ca_pem: Option<&[u8]>) -> io::Result<Self> {
        Ok(Self { tls: Tls::new(extra_ca_pem)?, look_ups: Arc::new(Semaphore::new(LOOK_UPS_MAX)) })
    }

    /// Opens a connection; the caller bounds it in time.
    ///
    /// # Errors
    /// The name has no address, or none that the guard admits; nobody listens; the certificate is not accepted.
    pub async fn open(&self, target: &Target<'_>, guard: AddressGuard) -> Result<AnyStream, Fault> {
        let socket = self.dial(target, guard).await?;
        // Without it the last piece of a message would wait for the answer to the one before (RFC 896).
        let _ = socket.get_ref().set_nodelay(true);
        if !target.is_secure {
            return Ok(Box::new(socket));
        }
        let tls = TlsStream::connect(self.tls.config(), target.host, socket).await;
        Ok(Box::new(tls.map_err(|error| fault_of(&error))?))
    }

    /// Tries the addresses of the host one after the other.
    async fn dial(&self, target: &Target<'_>, guard: AddressGuard) -> Result<Async<TcpStream>, Fault> {
        let mut fault = Fault::Dns;
        for address in self.addresses(target, guard).await?.into_iter().take(ADDRESSES_MAX) {
            match Async::<TcpStream>::connect(address).await {
                Ok(socket) => return Ok(socket),
                Err(error) => fault = fault_of(&error),
            }
        }
        Err(fault)
    }

    async fn addresses(&self, target: &Target<'_>, guard: AddressGuard) -> Result<Vec<SocketAddr>, Fault> {
        if let Some(known) = resolve::known(target.host, target.port) {
            return if resolve::admits_known(guard, &known) { Ok(known) } else { Err(Fault::PrivateAddress) };
        }
        let found = self.look_up(target.host, target.port).await?;
        if resolve::admits_found(guard, &found) { Ok(found) } else { Err(Fault::PrivateAddress) }
    }

    async fn look_up(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, Fault> {
        let turn = Arc::clone(&self.look_ups).acquire_arc().await;
        let (answer, answered) = async_channel::bounded(1);
        let host = host.to_owned();
        let work = move || {
            let _ = answer.try_send(resolve::look_up(&host, port));
            drop(turn);
        };
        let thread = thread::Builder::new().name("name".to_owned()).stack_size(STACK_BYTES).spawn(work);
        if let Err(error) = thread {
            log::warn!("no_thread_for_look_up error=\"{error}\"");
            return Err(Fault::Transport);
        }
        answered.recv().await.ok().flatten().ok_or(Fault::Dns)
    }
}

/// What an error of a connection that was, or should have been, under TLS means: there bytes that make no sense come as
/// `InvalidData`.
#[must_use]
pub fn fault_of(error: &io::Error) -> Fault {
    match error.kind() {
        ErrorKind::TimedOut => Fault::Timeout,
        ErrorKind::ConnectionRefused => Fault::Refused,
        ErrorKind::ConnectionReset
        | ErrorKind::ConnectionAborted
        | ErrorKind::BrokenPipe
        | ErrorKind::UnexpectedEof => Fault::Reset,
        ErrorKind::InvalidData => Fault::Tls,
        _ => Fault::Transport,
    }
}
