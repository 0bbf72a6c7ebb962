//! A raw echo at `/` for the Autobahn cases (`tests/ws/autobahn`): the product's port and driver, and nothing else.
//! Usage: `ws_echo PORT`; it listens at 127.0.0.1 and ends when its standard input does.
#![allow(clippy::disallowed_methods, reason = "outside the agent")]

use std::future::poll_fn;
use std::rc::Rc;

use chainbot::shell::http::{
    Answer, AnswerBody, Handling, Incoming, Limits, Port, Service, Stream, Upgrade, Upgraded, bind, serve,
};
use chainbot::shell::ws::driver::{Next, Role, Socket};
use tungstenite::handshake::derive_accept_key;

struct Echo;

impl Service for Echo {
    fn upgrade(&self, request: &Incoming) -> Option<Upgrade> {
        let key = request.headers.get("sec-websocket-key")?;
        let headers = vec![("sec-websocket-accept", derive_accept_key(key.as_bytes()))];
        let run =
            |stream, ahead: Vec<u8>| -> Upgraded { Box::pin(async move { echo(stream, &ahead).await }) };
        Some(Upgrade { headers, run: Box::new(run) })
    }

    fn handle(&self, _request: Incoming) -> Handling {
        let (headers, body) = (Vec::new(), AnswerBody::Empty);
        Box::pin(async { Answer { status: 404, headers, content_type: "", body, close: true } })
    }
}

async fn echo(stream: Stream, ahead: &[u8]) -> Option<Stream> {
    let mut socket = Socket::new(stream, ahead, Role::Server);
    loop {
        poll_fn(|cx| socket.poll_flush(cx)).await;
        match poll_fn(|cx| socket.poll_next(cx)).await {
            Next::Text(text) => socket.send_text(text),
            Next::Binary(bytes) => socket.send_binary(bytes),
            Next::Ping | Next::Pong => {}
            Next::Ended(_) => return socket.into_stream(),
        }
    }
}

fn main() -> std::io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(9001);
    let listener = bind("127.0.0.1", port)?.remove(0);
    let shared = Port::new(Limits::default());
    let ended = smol::unblock(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    async_io::block_on(futures_lite::future::or(
        async {
            let _ = ended.await;
        },
        serve(listener, shared, Rc::new(Echo)),
    ));
    Ok(())
}
