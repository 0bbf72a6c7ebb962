//! ALEX OS as a socket server: the documented bus at `/ws/events`, the public dialect at `/ws`, and 405 for every call.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocket};
use tungstenite::{Error, Message};

use crate::stand_in::watched::Watched;

/// How it behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes envelopes. The first `drops` links end without a word after `after` messages.
    Documented { drops: usize, after: usize },
    /// As `Documented`, but on the first link it reads nothing and says nothing.
    DeadFirst,
    /// Refuses `/ws/events` with 403; at `/ws` it speaks `{"action": ...}`.
    Public,
}

#[derive(Debug, Default)]
pub struct State {
    /// Paths of the handshakes, in order.
    pub paths: Vec<String>,
    /// Text messages, over all links.
    pub texts: Vec<String>,
    /// What it will say over the link in use.
    to_say: Vec<String>,
}

pub struct Bus {
    pub address: SocketAddr,
    pub state: Arc<Watched<State>>,
}

impl Bus {
    pub fn open(mood: Mood) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let state: Arc<Watched<State>> = Arc::default();
        let shared = Arc::clone(&state);
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let state = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream, mood, &state));
            }
        });
        Self { address, state }
    }

    pub fn say(&self, text: &str) {
        self.state.change(|state| state.to_say.push(text.to_owned()));
    }
}

/// A connection that breaks off is the agent's own business.
fn serve(mut stream: TcpStream, mood: Mood, state: &Watched<State>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let header = |wanted: &str| {
        let fields = lines.iter().filter_map(|line| line.split_once(": "));
        fields.into_iter().find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value))
    };
    let path = lines.first()?.split(' ').nth(1)?.to_owned();
    let Some(key) = header("sec-websocket-key") else {
        let length = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        reader.take(length).read_to_end(&mut Vec::new()).ok()?;
        return refuse(&mut stream, "405 Method Not Allowed");
    };
    let number = state.change(|state| {
        state.paths.push(path.clone());
        state.paths.len()
    });
    let is_here = if mood == Mood::Public { path == "/ws" } else { path == "/ws/events" };
    if !is_here {
        return refuse(&mut stream, "403 Forbidden");
    }
    let accept = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(answer.as_bytes()).ok()?;
    if mood == Mood::DeadFirst && number == 1 {
        // Held open, never read: the kernel takes what comes, nobody answers.
        loop {
            std::thread::park();
        }
    }
    stream.set_read_timeout(Some(Duration::from_millis(10))).ok()?;
    talk(WebSocket::from_raw_socket(stream, Role::Server, None), mood, number, state)
}

fn refuse(stream: &mut TcpStream, status: &str) -> Option<()> {
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).ok()
}

fn talk(mut socket: WebSocket<TcpStream>, mood: Mood, number: usize, state: &Watched<State>) -> Option<()> {
    let mut heard = 0;
    loop {
        for text in state.change(|state| std::mem::take(&mut state.to_say)) {
            socket.send(Message::text(text)).ok()?;
        }
        match socket.read() {
            Ok(Message::Text(text)) => {
                heard += 1;
                if matches!(mood, Mood::Documented { drops, after } if number <= drops && heard > after) {
                    return None;
                }
                state.change(|state| state.texts.push(text.as_str().to_owned()));
                if mood == Mood::Public {
                    socket.send(Message::text(reply(text.as_str()))).ok()?;
                }
            }
            Ok(_) => {}
            Err(Error::Io(error)) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return None,
        }
    }
}

/// As the public release answers.
fn reply(text: &str) -> &'static str {
    if !text.contains("\"action\"") {
        r#"{"type":"error","message":"Missing action"}"#
    } else if text.contains("subscribe") {
        r#"{"type":"subscription_confirmed","channels":[],"timestamp":"t"}"#
    } else {
        r#"{"type":"pong","timestamp":"t"}"#
    }
}
