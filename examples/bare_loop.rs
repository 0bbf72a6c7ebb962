//! The least that an HTTP server can do: one thread, epoll, a constant answer to whatever ends in an empty line. What the
//! open port is compared with. `cargo run --release --example bare_loop PORT`

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 38\r\n\r\n{\"status\":\"healthy\",\"version\":\"1.0.0\"}";
const LISTENER: u64 = u64::MAX;
const EVENTS_MAX: usize = 64;

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9_000);
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    let poll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&poll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut clients: Vec<Option<TcpStream>> = Vec::new();
    let mut ready = Vec::with_capacity(EVENTS_MAX);
    loop {
        ready.clear();
        epoll::wait(&poll, spare_capacity(&mut ready), None)?;
        for event in &ready {
            if event.data.u64() == LISTENER {
                accept(&listener, &poll, &mut clients)?;
            } else if let Some(client) = clients.get_mut(event.data.u64() as usize)
                && !client.as_ref().is_some_and(answer)
            {
                *client = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    poll: &impl std::os::fd::AsFd,
    clients: &mut Vec<Option<TcpStream>>,
) -> io::Result<()> {
    while let Ok((client, _)) = listener.accept() {
        client.set_nonblocking(true)?;
        client.set_nodelay(true)?;
        let place = clients.iter().position(Option::is_none).unwrap_or(clients.len());
        epoll::add(poll, &client, EventData::new_u64(place as u64), EventFlags::IN)?;
        if place == clients.len() {
            clients.push(None);
        }
        clients[place] = Some(client);
    }
    Ok(())
}

/// Whether the connection goes on. A request that comes in pieces is not understood: wrk sends none.
fn answer(mut client: &TcpStream) -> bool {
    let mut bytes = [0; 4_096];
    match client.read(&mut bytes) {
        Ok(n) if n > 0 => !bytes[..n].ends_with(b"\r\n\r\n") || client.write_all(ANSWER).is_ok(),
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        Ok(_) => false,
    }
}
