//! Listening: the addresses of a host, and taking connections in without ever waiting for one of them.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use async_executor::LocalExecutor;
use futures_lite::future;
use rustix::net::sockopt;

use super::connection::attend;
use super::port::Port;
use super::refusal::NO_SEAT;
use super::service::Service;
use crate::agent::limits::{BACKLOG_MAX, KERNEL_BUFFER_BYTES};
use crate::shell::reactor::{Async, Timer};
use crate::shell::work;

/// How long nothing is accepted after the system could not give a socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on every address of `host` (a name, an IPv4 or an IPv6 address, with or without brackets). With port 0
/// the system chooses one, the same for all addresses.
///
/// # Errors
/// The name is unknown, or an address of it cannot be listened on; an address of a family that the system does not
/// have is passed over as long as another one works.
pub fn bind(host: &str, port: u16) -> io::Result<Vec<Async<TcpListener>>> {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let mut listeners = Vec::new();
    let mut port = port;
    let mut fault = io::Error::new(ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpListener::bind((address.ip(), port)) {
            Ok(listener) => {
                bound_kernel_buffers(&listener);
                deepen_backlog(&listener);
                port = listener.local_addr()?.port();
                listeners.push(Async::new(listener)?);
            }
            Err(error) if is_family_missing(&error) => fault = error,
            Err(error) => return Err(error),
        }
    }
    if listeners.is_empty() { Err(fault) } else { Ok(listeners) }
}

/// Connections inherit it from their listener. A kernel that declines has a bound of its own.
fn bound_kernel_buffers(listener: &TcpListener) {
    let _ = sockopt::set_socket_send_buffer_size(listener, KERNEL_BUFFER_BYTES);
    let _ = sockopt::set_socket_recv_buffer_size(listener, KERNEL_BUFFER_BYTES);
}

/// The standard library asks for 128, which a burst of clients fills while one is served. A kernel that declines keeps that.
fn deepen_backlog(listener: &TcpListener) {
    let _ = rustix::net::listen(listener, BACKLOG_MAX);
}

fn is_family_missing(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.kind() == ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(EAFNOSUPPORT)
}

/// Serves the connections of one listener until the port stops, then lets the answers under way finish for at most
/// `Limits::drain_time_max`. Several listeners share one port and thereby its limits.
pub async fn serve(listener: Async<TcpListener>, port: Rc<Port>, service: Rc<dyn Service>) {
    let executor = LocalExecutor::new();
    let accepting = accept(&listener, &port, &service, &executor);
    executor.run(future::or(port.stopped(), accepting)).await;
    drop(listener);
    let drained = poll_fn(|cx| {
        port.watch(cx);
        if executor.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    });
    let patience = async {
        Timer::after(port.limits().drain_time_max).await;
    };
    executor.run(future::or(drained, patience)).await;
}

async fn accept(
    listener: &Async<TcpListener>,
    port: &Rc<Port>,
    service: &Rc<dyn Service>,
    executor: &LocalExecutor<'static>,
) {
    let mut was_failing = false;
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => {
                was_failing = false;
                let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
                take_in(socket, peer, port, service, executor);
            }
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                if !was_failing {
                    log::warn!("accept_failed error={error}");
                }
                was_failing = true;
                Timer::after(ACCEPT_PAUSE).await;
            }
        }
        // A flood of connections must leave the connections their turn.
        future::yield_now().await;
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted)
}

fn take_in(
    socket: Async<TcpStream>,
    peer: SocketAddr,
    port: &Rc<Port>,
    service: &Rc<dyn Service>,
    executor: &LocalExecutor<'static>,
) {
    let Some(seat) = port.try_seat(peer.ip()) else {
        port.count_turned_away();
        return turn_away(socket.get_ref());
    };
    // Without it answers are late by the client's delayed acknowledgement; not a reason to refuse.
    let _ = socket.get_ref().set_nodelay(true);
    executor.spawn(work(attend(socket, peer, seat, service.clone()))).detach();
}

/// Says 503 as far as that goes without waiting: what has arrived is read first, so that the close is no reset.
fn turn_away(mut socket: &TcpStream) {
    let _ = socket.read(&mut [0; 1024]);
    let _ = socket.write(NO_SEAT);
}
