//! A descriptor that the loop waits for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use futures_lite::{AsyncRead, AsyncWrite};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

use super::{Reactor, STRETCH};

/// What is known of a descriptor, and who waits: one task for each direction, the last one that asked.
pub(super) struct Readiness {
    read: Half,
    write: Half,
    stretch: Stretch,
    /// The peer will send no more, or the connection is broken: what is left to read ends with that.
    is_ending: Cell<bool>,
}

impl Default for Readiness {
    /// Nobody knows before it was tried.
    fn default() -> Self {
        Self {
            read: Half::ready(),
            write: Half::ready(),
            stretch: Stretch::default(),
            is_ending: Cell::new(false),
        }
    }
}

/// How long a source has had something to read each time it was asked.
#[derive(Default)]
struct Stretch {
    begun: Cell<Option<Instant>>,
    /// The round in which it was found too long: until that is over nothing is read.
    rests_in: Cell<Option<u64>>,
}

impl Stretch {
    fn must_rest(&self, now: Instant, round: u64) -> bool {
        if self.rests_in.get() == Some(round) {
            return true;
        }
        let is_over = self.begun.get().is_some_and(|begun| now.saturating_duration_since(begun) >= STRETCH);
        if is_over {
            self.begun.set(None);
            self.rests_in.set(Some(round));
        }
        is_over
    }

    fn on_read(&self, now: Instant, is_pending: bool) {
        if is_pending {
            self.begun.set(None);
        } else if self.begun.get().is_none() {
            self.begun.set(Some(now));
        }
    }
}

impl Readiness {
    pub(super) fn tell(&self, is_readable: bool, is_writable: bool, is_ending: bool) {
        if is_ending {
            self.is_ending.set(true);
        }
        if is_readable {
            self.read.tell();
        }
        if is_writable {
            self.write.tell();
        }
    }
}

struct Half {
    /// Whether it may be worth a try: not after the kernel said "would block", until it says that something has changed.
    is_worth_a_try: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Half {
    fn ready() -> Self {
        Self { is_worth_a_try: Cell::new(true), waker: RefCell::new(None) }
    }

    fn tell(&self) {
        self.is_worth_a_try.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Tries if that may be worth it, else waits.
    fn poll<T>(&self, cx: &mut Context<'_>, mut work: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
        while self.is_worth_a_try.get() {
            match work() {
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_worth_a_try.set(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                done => return Poll::Ready(done),
            }
        }
        self.watch(cx);
        Poll::Pending
    }

    fn watch(&self, cx: &mut Context<'_>) {
        let is_known = self.waker.borrow().as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_known {
            // What was there is dropped outside: with a waker may go a task.
            let _before = self.waker.replace(Some(cx.waker().clone()));
        }
    }
}

/// A socket or pipe that makes nobody wait: what cannot go on at once is a future. It belongs to its thread.
pub struct Async<T: AsFd> {
    io: T,
    key: u64,
    readiness: Rc<Readiness>,
    reactor: Rc<Reactor>,
}

impl<T: AsFd + std::fmt::Debug> std::fmt::Debug for Async<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.io.fmt(f)
    }
}

impl<T: AsFd> Async<T> {
    /// Watches this descriptor, which does not block from now on.
    ///
    /// # Errors
    /// The kernel has no room to watch it, or it is nothing that can be waited for.
    pub fn new(io: T) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(io.as_fd(), true)?;
        Self::watch(io)
    }

    fn watch(io: T) -> io::Result<Self> {
        let reactor = Reactor::of_thread()?;
        let (key, readiness) = reactor.register(io.as_fd())?;
        Ok(Self { io, key, readiness, reactor })
    }

    #[cfg(test)]
    pub(super) fn key(&self) -> u64 {
        self.key
    }

    #[cfg(test)]
    pub(super) fn is_told_readable(&self) -> bool {
        self.readiness.read.is_worth_a_try.get()
    }

    /// The descriptor below. What is read from it or written to it here nobody is told of.
    pub fn get_ref(&self) -> &T {
        &self.io
    }

    /// What `read` says as soon as it does not say that it would block.
    ///
    /// # Errors
    /// What `read` says otherwise.
    pub async fn read_with<R>(&self, mut read: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        poll_fn(|cx| self.poll_in(cx, || read(&self.io))).await
    }

    fn poll_in<R>(&self, cx: &mut Context<'_>, read: impl FnMut() -> io::Result<R>) -> Poll<io::Result<R>> {
        let Readiness { read: half, stretch, .. } = &*self.readiness;
        let now = self.reactor.breathe();
        if half.is_worth_a_try.get() && stretch.must_rest(now, self.reactor.round.get()) {
            self.reactor.resting.borrow_mut().push(cx.waker().clone());
            return Poll::Pending;
        }
        let polled = half.poll(cx, read);
        stretch.on_read(now, polled.is_pending());
        polled
    }

    /// Ready when the peer will send no more or the connection is broken, whatever is left to read.
    pub fn poll_ending(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.readiness.is_ending.get() {
            return Poll::Ready(());
        }
        self.readiness.read.watch(cx);
        Poll::Pending
    }

    /// A read had more room than there was to read. What comes later is an event of its own (epoll(7), about edge-triggered streams), and so is the end,
    /// unless it was told of before.
    fn on_short_read(&self) {
        if !self.readiness.is_ending.get() {
            self.readiness.read.is_worth_a_try.set(false);
        }
    }

    fn poll_out<R>(&self, cx: &mut Context<'_>, write: impl FnMut() -> io::Result<R>) -> Poll<io::Result<R>> {
        self.reactor.breathe();
        self.readiness.write.poll(cx, write)
    }
}

impl Async<TcpListener> {
    /// The next connection and who makes it.
    ///
    /// # Errors
    /// The connection broke before it was taken, or there is no descriptor or no memory for it.
    pub async fn accept(&self) -> io::Result<(Async<TcpStream>, SocketAddr)> {
        let (socket, peer) = self.read_with(TcpListener::accept).await?;
        Ok((Async::new(socket)?, peer))
    }
}

impl Async<TcpStream> {
    /// Connects; its caller bounds it in time.
    ///
    /// # Errors
    /// Nobody listens there, or no way leads there.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        match rustix::net::connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let socket = Self::watch(TcpStream::from(socket))?;
        // Watched after the attempt began, so that the first word is about it.
        socket.readiness.write.is_worth_a_try.set(false);
        poll_fn(|cx| socket.poll_out(cx, || Ok(()))).await?;
        match socket.io.take_error()? {
            Some(error) => Err(error),
            None => Ok(socket),
        }
    }

    /// What can be read next, without taking it.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn peek(&self, bytes: &mut [u8]) -> io::Result<usize> {
        self.read_with(|socket| socket.peek(bytes)).await
    }
}

impl<T: AsFd> Drop for Async<T> {
    fn drop(&mut self) {
        self.reactor.deregister(self.key, self.io.as_fd());
    }
}

// Nothing is pinned.
impl<T: AsFd> Unpin for Async<T> {}

impl<T: AsFd> AsyncRead for Async<T>
where
    for<'a> &'a T: Read,
{
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        let polled = self.poll_in(cx, || (&self.io).read(bytes));
        if let Poll::Ready(Ok(n)) = polled
            && n > 0
            && n < bytes.len()
        {
            self.on_short_read();
        }
        polled
    }
}

impl<T: AsFd> AsyncWrite for Async<T>
where
    for<'a> &'a T: Write,
{
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_out(cx, || (&self.io).write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, || (&self.io).write_vectored(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
