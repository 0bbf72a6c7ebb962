//! TLS over a non-blocking connection, for sockets that stay open on the loop: rustls' own connection, fed and drained
//! by hand. Calls that come and go use ureq's transport instead (`tls.rs`).

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_lite::{AsyncRead, AsyncWrite};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use crate::shell::reactor::Async;

/// Plain text that may wait to be encrypted or sent, in bytes.
const OUT_BYTES_MAX: usize = 16 * 1024;

/// A connection under TLS.
#[derive(Debug)]
pub struct TlsStream {
    socket: Async<TcpStream>,
    tls: Box<ClientConnection>,
}

impl TlsStream {
    /// Does the handshake; the caller bounds it in time. `host` is that of a URL.
    ///
    /// # Errors
    /// The connection broke, or the peer is not who it must be (`InvalidData`).
    pub async fn connect(
        config: Arc<ClientConfig>,
        host: &str,
        socket: Async<TcpStream>,
    ) -> io::Result<Self> {
        let name = ServerName::try_from(host.trim_start_matches('[').trim_end_matches(']').to_owned())
            .map_err(|_| invalid("host is neither a name nor an address"))?;
        let mut tls = ClientConnection::new(config, name).map_err(invalid)?;
        tls.set_buffer_limit(Some(OUT_BYTES_MAX));
        let mut stream = Self { socket, tls: Box::new(tls) };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.tls.is_handshaking() {
            ready!(self.poll_drain(cx))?;
            if self.tls.is_handshaking() && ready!(self.poll_fill(cx))? == 0 {
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
        }
        self.poll_drain(cx)
    }

    /// Takes in what the socket has; 0 at its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Self { socket, tls } = self;
        let n = ready!(pending(tls.read_tls(&mut Bare { socket, cx })))?;
        let processed = tls.process_new_packets();
        if let Err(error) = processed {
            // An alert tells the peer why; whether it hears that does not matter.
            let _ = self.poll_drain(cx);
            return Poll::Ready(Err(invalid(error)));
        }
        Poll::Ready(Ok(n))
    }

    /// Gives out what waits to be sent.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, tls } = self;
        while tls.wants_write() {
            if ready!(pending(tls.write_tls(&mut Bare { socket, cx })))? == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.tls.reader().read(buf) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
            // New keys and tickets are answered on the way; a full socket must not keep us from reading.
            if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
                return Poll::Ready(Err(error));
            }
            // At the end of the stream the reader tells whether it came with TLS's own goodbye.
            ready!(self.poll_fill(cx))?;
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let n = self.tls.writer().write(buf)?;
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_drain(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tls.send_close_notify();
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

/// The socket as rustls takes it: what is not ready is `WouldBlock`, and the task is woken when it is.
struct Bare<'a, 'b, 'c> {
    socket: &'a mut Async<TcpStream>,
    cx: &'b mut Context<'c>,
}

impl Read for Bare<'_, '_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_read(self.cx, buf))
    }
}

impl Write for Bare<'_, '_, '_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        blocking(Pin::new(&mut *self.socket).poll_write(self.cx, buf))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn blocking<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

fn pending<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

fn invalid(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, why)
}
