//! What is fuzzed, as functions of bytes: they panic when something that must hold does not. Shared by the targets of
//! cargo-fuzz and by `tests/fuzz.rs`.
#![allow(dead_code, reason = "each target uses one of them")]

#[path = "port.rs"]
pub mod port;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use chainbot::agent::event::JsonText;
use chainbot::agent::ids::Seq;
use chainbot::agent::input::{BusIn, Fault};
use chainbot::agent::limits::{
    EVENT_MESSAGE_BYTES_MAX, EVENT_TYPE_BYTES_MAX, HEAD_BYTES_MAX, SOCKET_MESSAGE_BYTES_MAX,
};
use chainbot::agent::time::Wall;
use chainbot::api::access::tokens::Tokens;
use chainbot::ledger;
use chainbot::shell::ws::driver::{End, Next, Role, Socket};
use chainbot::wire::chat::{Delta, Gather};
use chainbot::wire::json::{Json, Kind, TextFault};
use chainbot::wire::jwt::{self, Claims, Key};
use chainbot::wire::openai::{self, Encoder, Shape};
use chainbot::wire::{autobot, bus, bus_handshake, http_head, maclink, mcp, ollama, tools, windows};
use futures_lite::{AsyncRead, AsyncWrite};

/// Frames that come in, to a server or to a client (the first byte says which): what they mean does not depend on how
/// the network cuts them, no message is larger than the limit, and memory follows what came.
pub fn frames(data: &[u8]) {
    let Some((first, frames)) = data.split_first() else { return };
    let role = || if first & 1 == 0 { Role::Server } else { Role::Client };
    let whole = read_all(frames, role(), usize::MAX, 0);
    for (size, ahead) in [(1, 0), (3, frames.len() / 2), (1 + usize::from(first >> 1), frames.len())] {
        let cut = read_all(frames, role(), size, ahead);
        assert_eq!(whole, cut, "pieces of {size} after {ahead} bytes");
    }
}

/// Everything that a socket tells of these bytes, which come in pieces after `ahead` of them.
fn read_all(bytes: &[u8], role: Role, size: usize, ahead: usize) -> Vec<Next> {
    let mut cx = Context::from_waker(Waker::noop());
    let stream = Pieces { bytes: &bytes[ahead..], size, has_paused: false };
    let mut socket = Socket::new(stream, &bytes[..ahead], role);
    let mut told = Vec::new();
    // Each poll takes a piece, tells something, or has paused.
    for _ in 0..4 * bytes.len() + 16 {
        assert!(
            socket.held_bytes() <= bytes.len().min(SOCKET_MESSAGE_BYTES_MAX.saturating_add(size)),
            "held without end"
        );
        match socket.poll_next(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(Next::Ended(end)) => {
                // The bytes end in the middle of something: how that is called depends on where they were cut.
                if !matches!(end, End::Lost(_)) {
                    told.push(Next::Ended(end));
                }
                return told;
            }
            Poll::Ready(next) => {
                let bytes = match &next {
                    Next::Text(text) => text.len(),
                    Next::Binary(bytes) => bytes.len(),
                    _ => 0,
                };
                assert!(bytes <= SOCKET_MESSAGE_BYTES_MAX, "a message of {bytes} bytes");
                told.push(next);
            }
        }
    }
    panic!("the socket does not end: {told:?}");
}

/// Gives bytes in pieces with a pause before each, takes whatever is written, and then ends.
struct Pieces<'a> {
    bytes: &'a [u8],
    size: usize,
    has_paused: bool,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        self.has_paused = !self.has_paused;
        if self.has_paused {
            return Poll::Pending;
        }
        let n = self.size.min(to.len()).min(self.bytes.len());
        to[..n].copy_from_slice(&self.bytes[..n]);
        self.bytes = &self.bytes[n..];
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for Pieces<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Messages of ALEX OS's bus: what becomes an event is within the limits of one.
pub fn bus(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let BusIn::Event { draft, .. } = bus::decode(text) {
        assert!(!draft.kind.is_empty() && draft.kind.len() <= EVENT_TYPE_BYTES_MAX, "{:?}", draft.kind);
        assert!(draft.message.len() <= EVENT_MESSAGE_BYTES_MAX, "{:?}", draft.message);
        expect_object(&draft.metadata);
    }
}

fn expect_object(metadata: &JsonText) {
    let json = Json::parse(metadata.0.as_bytes());
    assert!(json.is_ok_and(|json| json.kind() == Kind::Object), "{metadata:?}");
}

/// Messages of clients in AutoBot's, ALEX OS's and the windows' dialects: whatever is said of them is JSON again.
pub fn dialects(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let echo = autobot::echo(text);
    let json = Json::parse(echo.as_bytes()).expect("an echo is JSON");
    assert_eq!(json.get("message").and_then(|message| message.text()).as_deref(), Some(text));
    if let Err(misfit) = autobot::read(text) {
        expect_json(&autobot::error(misfit.code, "low", &misfit.message), text);
    }
    match windows::read(text) {
        Err(misfit) => {
            let data = windows::data(|out| chainbot::wire::json::push_text(out, "message", &misfit.message));
            expect_json(&data, text);
        }
        Ok(windows::Said::HotSwap { swap_data, .. }) => expect_json(&swap_data, text),
        Ok(_) => {}
    }
}

fn expect_json(said: &str, heard: &str) {
    assert!(Json::parse(said.as_bytes()).is_ok(), "{said} said of {heard}");
}

/// Arguments of tools, and messages of their servers: what is judged leads down, moves no pen, and can be judged again;
/// what a server offers is named as a model may call it, and bounded.
pub fn tools(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for tool in &tools::TOOLS {
        let parsed = tools::parse(tool.name, text);
        let subject = tools::subject(tool.name, text);
        assert_eq!(parsed.is_ok(), subject.is_ok(), "{}: {parsed:?} {subject:?}", tool.name);
        let Ok(subject) = subject else { continue };
        assert!(!subject.chars().any(char::is_control), "{subject:?}");
        if tool.subject == "path" {
            assert!(!subject.is_empty() && !subject.starts_with('/'), "{subject:?}");
            assert!(
                subject == "." || subject.split('/').all(|part| !matches!(part, "" | "." | "..")),
                "{subject:?}"
            );
        }
    }
    if let Ok(canonical) = tools::subject("mcp__a__b", text) {
        assert_eq!(tools::subject("mcp__a__b", &canonical).as_ref(), Ok(&canonical));
        assert!(mcp::call(1, "b", text).contains(&canonical));
    }
    let Ok(json) = Json::parse(data) else { return };
    if let mcp::Said::Result(result) = mcp::said(json, 1) {
        let mut found = Vec::new();
        mcp::take_page(&mut found, "server", result);
        for tool in &found {
            let is_good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            assert!(tool.name.len() <= 64 && tool.name.bytes().all(is_good), "{:?}", tool.name);
            expect_object(&JsonText(tool.parameters.clone()));
        }
        let (_, text) = mcp::outcome(result);
        assert!(text.len() <= 2 * data.len() + 400, "{text}");
    }
}

/// Heads of requests, and answers to the bus client's handshake: one that is whole is whole whatever follows.
pub fn handshake(data: &[u8]) {
    if let http_head::Scan::Head(head) = http_head::scan(data) {
        assert!(head.len <= data.len() && head.len <= HEAD_BYTES_MAX, "{} of {}", head.len, data.len());
        let again = http_head::scan(&data[..head.len]);
        assert!(matches!(again, http_head::Scan::Head(alone) if alone == head));
        for end in 0..head.len {
            let part = http_head::scan(&data[..end]);
            assert!(matches!(part, http_head::Scan::Partial | http_head::Scan::TooLarge), "{end}: {part:?}");
        }
    }
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    if let bus_handshake::Answer::Switched(end) = bus_handshake::answer(data, accept) {
        assert!(end <= data.len(), "{end} of {}", data.len());
        assert!(data.windows(accept.len()).any(|window| window == accept.as_bytes()), "no proof");
    }
}

/// Answers of models, of the kind that the first byte says: what they say does not depend on how the network cuts them, and
/// whatever they say can be written in every shape.
pub fn answers(data: &[u8]) {
    let Some((first, answer)) = data.split_first() else { return };
    let (whole, is_ok) = deltas(answer, first % 4, usize::MAX);
    for size in [1, 3, 1 + usize::from(first >> 2)] {
        let (cut, is_still_ok) = deltas(answer, first % 4, size);
        assert_eq!(is_ok, is_still_ok, "pieces of {size}");
        assert!(is_ok.is_err() || whole == cut, "pieces of {size}: {whole:?} {cut:?}");
    }
    for shape in [Shape::Events { with_usage: true }, Shape::Whole, Shape::Lines, Shape::Plain] {
        let written = written(&whole, shape);
        match shape {
            Shape::Whole | Shape::Plain => expect_json(&written, "an answer"),
            Shape::Lines => written.lines().for_each(|line| expect_json(line, "an answer")),
            Shape::Events { .. } => {
                for event in written.split_terminator("\n\n") {
                    let data = event.strip_prefix("data: ").expect("an event");
                    assert!(data == "[DONE]" || Json::parse(data.as_bytes()).is_ok(), "{data}");
                }
            }
        }
    }
}

fn deltas(answer: &[u8], kind: u8, size: usize) -> (Vec<Delta>, Result<(), Fault>) {
    let mut found = Vec::new();
    let mut pieces = answer.chunks(size.min(answer.len().max(1)));
    let result = match kind {
        0 => {
            let mut events = openai::Events::default();
            let mut take = |piece: &[u8]| {
                events.push(piece)?;
                while events.next(&mut found)?.is_some() {}
                Ok(())
            };
            let result = pieces.try_for_each(&mut take);
            result.and_then(|()| events.end(&mut found))
        }
        1 => {
            let mut passed = openai::Passed::default();
            pieces.try_for_each(|piece| passed.push(piece)).and_then(|()| passed.end(&mut found))
        }
        2 => {
            let mut lines = ollama::Lines::default();
            let result = pieces.try_for_each(|piece| lines.push(piece, &mut found));
            result.and_then(|()| lines.end(&mut found))
        }
        _ => {
            let mut said = maclink::Answer::default();
            let result = pieces.try_for_each(|piece| said.push(piece, &mut found));
            result.and_then(|()| said.end(3, &mut found))
        }
    };
    let mut joined: Vec<Delta> = Vec::new();
    for delta in found {
        match (joined.last_mut(), delta) {
            (Some(Delta::Text(text)), Delta::Text(more)) => text.push_str(&more),
            (_, delta) => joined.push(delta),
        }
    }
    (joined, result)
}

fn written(deltas: &[Delta], shape: Shape) -> String {
    let mut encoder = Encoder::new(shape, 1, Wall(0), "m");
    let mut gather = Gather::new(true, !matches!(shape, Shape::Events { .. }));
    let mut text = String::new();
    for delta in deltas {
        gather.take(delta);
        encoder.push(delta, &mut text);
    }
    encoder.end(&gather, 10, &mut text);
    text
}

/// Questions to models: one that is taken goes on as JSON to every kind of provider, and under the model that is meant.
pub fn questions(data: &[u8]) {
    let Ok(asked) = openai::read(data) else { return };
    let json = Json::parse(data).expect("what was read is JSON");
    let rewritten = openai::rewrite(data, "m", !asked.is_stream);
    for made in [&rewritten, &ollama::from_question(json, "m"), &maclink::from_question(json, "m")] {
        let read = Json::parse(made.as_bytes());
        // Arguments of a call were a text, and are an object then.
        assert!(!matches!(read, Err(TextFault::NotJson | TextFault::NotUtf8)), "{made}");
    }
    let again = openai::read(rewritten.as_bytes()).expect("it is still a question");
    assert_eq!((again.model.as_str(), again.is_stream, again.is_queued), ("m", !asked.is_stream, false));
}

/// Records of the ledger, and pages of its file that are searched after damage: what can be read is written back as it was, and
/// what is found in a page was sealed by the ledger.
pub fn ledger(data: &[u8]) {
    let Some((first, record)) = data.split_first() else { return };
    match first % 4 {
        0 => {
            let event = ledger::decode(Seq(1), record);
            let head = ledger::decode_head(record);
            if let Ok(event) = &event {
                assert_eq!(ledger::encode(event), record, "{event:?}");
            }
            assert!(event.is_err() || head.is_ok(), "an event without a head");
        }
        1 => {
            if let Ok(message) = ledger::decode_message(record) {
                assert_eq!(ledger::encode_message(&message), record, "{message:?}");
            }
        }
        2 => {
            if let Ok(kept) = ledger::decode_record(record) {
                assert_eq!(ledger::encode_record(&kept), record, "{kept:?}");
            }
        }
        _ => {
            // What a page says of where its entries are may point anywhere, and to the same place many times.
            let mut count = 0_usize;
            ledger::scan_page(record, &mut |_| count += 1);
            assert!(count <= record.len(), "{count} records in {} bytes", record.len());
        }
    }
}

/// JSON Web Tokens: what is taken is signed by one of the keys, in one spelling, and made again it says the same.
pub fn jwt(data: &[u8]) {
    let keys = [Key::new(&[5; 32]), Key::new(&[6; 32])];
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(claims) = jwt::verify(text, &keys) {
        assert!(text.len() <= jwt::JWT_BYTES_MAX && claims.name.len() <= jwt::CLAIM_BYTES_MAX);
        assert_eq!(jwt::verify(&jwt::encode(&claims, &keys[0]), &keys), Ok(claims));
    }
    // The claims alone, signed whatever they say, are read without a panic, and nothing of them becomes another token.
    let claims = Claims {
        name: text.chars().filter(char::is_ascii_graphic).take(64).collect(),
        role: "viewer".to_owned(),
        expires_s: i64::try_from(data.len()).unwrap_or(0),
        ..Claims::default()
    };
    let made = jwt::encode(&claims, &keys[1]);
    let read = jwt::verify(&made, &keys);
    assert_eq!(read.is_ok(), !claims.name.is_empty(), "{claims:?}");
    assert!(jwt::verify(&made, &keys[..1]).is_err());
}

/// The file of tokens: what is read of it is written as it is read, and what does not fit is no token.
pub fn tokens(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let tokens = Tokens::parse(&text);
    let again = Tokens::parse(&tokens.text());
    assert_eq!((again.list(), again.damaged().len()), (tokens.list(), 0));
    assert_eq!(tokens.find_key(&text), None, "nobody has the key of a hash");
}
