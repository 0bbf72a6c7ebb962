//! hyper's reading and writing, over a line: it sees the bytes of one request and nothing beyond.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

use super::exchange::Exchange;
use super::line::Line;

/// One request's view of a connection.
pub(super) struct Adapter<'a> {
    pub(super) line: &'a RefCell<&'a mut Line>,
    pub(super) exchange: Rc<Exchange>,
}

impl Read for Adapter<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.line.borrow_mut().poll_pass(cx, buf.remaining(), |bytes| buf.put_slice(bytes))
    }
}

impl Write for Adapter<'_> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.line.borrow_mut().poll_flush(cx);
        self.exchange.on_write(flushed.is_pending());
        ready!(flushed)?;
        self.exchange.on_flushed(cx);
        Poll::Ready(Ok(()))
    }

    /// hyper has flushed by then; how the socket ends is the connection's affair.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.line.borrow_mut().poll_write(cx, bufs);
        self.exchange.on_write(written.is_pending());
        written
    }
}
