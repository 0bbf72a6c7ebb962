//! A raw echo over the product's driver, for the Autobahn cases (`tests/ws/autobahn`); messages may have 16 MiB, because
//! the cases do.
//!
//! `ws_echo serve PORT` listens at 127.0.0.1 with the product's port, until its standard input ends.
//! `ws_echo call PORT` goes through all cases of a fuzzing server with the product's client handshake.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "outside the agent")]

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, TcpStream};
use std::rc::Rc;

use chainbot::shell::http::{
    Answer, AnswerBody, Handling, Incoming, Limits, Port, Service, Stream, Upgrade, Upgraded, bind, serve,
};
use chainbot::shell::reactor::Async;
use chainbot::shell::ws::driver::{Next, Role, Socket};
use chainbot::wire::bus_handshake::{self, answer, request, target};
use futures_lite::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, future};
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

/// Largest message of the cases (9.1.6), with room.
const MESSAGE_BYTES_MAX: usize = 17 * 1024 * 1024;

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let mode = words.next().unwrap_or_default();
    let port = words.next().and_then(|port| port.parse().ok()).unwrap_or(9001);
    match mode.as_str() {
        "serve" => serve_echo(port),
        "call" => chainbot::shell::reactor::block_on(call_cases(port)),
        _ => Err(io::Error::other("usage: ws_echo serve|call PORT")),
    }
}

struct Echo;

impl Service for Echo {
    fn upgrade(&self, request: &Incoming) -> Option<Upgrade> {
        let key = request.headers.get("sec-websocket-key")?;
        let headers = vec![("sec-websocket-accept", derive_accept_key(key.as_bytes()))];
        let run = |stream: Stream, ahead: Vec<u8>| -> Upgraded {
            Box::pin(async move { echo(stream, &ahead, Role::Server).await })
        };
        Some(Upgrade { headers, run: Box::new(run) })
    }

    fn handle(&self, _request: Incoming) -> Handling {
        let (headers, body) = (Vec::new(), AnswerBody::Empty);
        Box::pin(async { Answer { status: 404, headers, content_type: "", body, close: true } })
    }
}

fn serve_echo(port: u16) -> io::Result<()> {
    let listener = bind("127.0.0.1", port)?.remove(0);
    let shared = Port::new(Limits::default());
    let (end, ended) = async_channel::bounded(1);
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = end.try_send(());
    });
    chainbot::shell::reactor::block_on(future::or(
        async {
            let _ = ended.recv().await;
        },
        serve(listener, shared, Rc::new(Echo)),
    ));
    Ok(())
}

async fn echo<S: AsyncRead + AsyncWrite + Unpin>(stream: S, ahead: &[u8], role: Role) -> Option<S> {
    let mut socket = Socket::with_limit(stream, ahead, role, MESSAGE_BYTES_MAX);
    loop {
        poll_fn(|cx| socket.poll_flush(cx)).await;
        match poll_fn(|cx| socket.poll_next(cx)).await {
            Next::Text(text) => socket.send_text(text),
            Next::Binary(bytes) => socket.send_binary(bytes),
            Next::Ping | Next::Pong | Next::StrayPong => {}
            Next::Ended(_) => return socket.into_stream(),
        }
    }
}

async fn call_cases(port: u16) -> io::Result<()> {
    let (stream, ahead) = open(port, "/getCaseCount").await?;
    let mut socket = Socket::new(stream, &ahead, Role::Client);
    let mut count = 0;
    loop {
        match poll_fn(|cx| socket.poll_next(cx)).await {
            Next::Text(text) => count = text.trim().parse().unwrap_or(0),
            Next::Ended(_) => break,
            _ => {}
        }
    }
    for case in 1..=count {
        let (stream, ahead) = open(port, &format!("/runCase?case={case}&agent=chainbot")).await?;
        echo(stream, &ahead, Role::Client).await;
    }
    let (stream, ahead) = open(port, "/updateReports?agent=chainbot").await?;
    echo(stream, &ahead, Role::Client).await;
    println!("{count} cases called");
    Ok(())
}

async fn open(port: u16, path: &str) -> io::Result<(Async<TcpStream>, Vec<u8>)> {
    let url = format!("ws://127.0.0.1:{port}{path}");
    let target = target(&url).ok_or_else(|| io::Error::other("no URL"))?;
    let mut stream = Async::<TcpStream>::connect((Ipv4Addr::LOCALHOST, port).into()).await?;
    let key = generate_key();
    stream.write_all(request(&target, "", &key).as_bytes()).await?;
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 1024];
        let n = stream.read(&mut piece).await?;
        bytes.extend_from_slice(&piece[..n]);
        match answer(&bytes, &derive_accept_key(key.as_bytes())) {
            bus_handshake::Answer::Switched(end) => return Ok((stream, bytes.split_off(end))),
            bus_handshake::Answer::Incomplete if n > 0 => {}
            _ => return Err(io::Error::other("the fuzzing server does not shake hands")),
        }
    }
}
