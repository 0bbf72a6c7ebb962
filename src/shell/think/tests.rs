//! Questions against real sockets on loopback: providers that answer, break off, talk nonsense, fall silent.

use super::*;

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use futures_lite::future;

use crate::agent::brain::setup::ProviderKind;
use crate::agent::brain::speech::{Role, SessionPrompt};
use crate::agent::input::Fault;
use crate::shell::dial::Dialer;
use crate::shell::http::{Chunk, ChunkSource};
use crate::shell::reactor::{Timer, block_on};
use crate::wire::json::Json;
use crate::wire::openai::Shape;

const ID: ThoughtId = ThoughtId(7);
const REQUEST: RequestId = RequestId(3);
const EVENTS: Shape = Shape::Events { with_usage: false };
const BODY: &str = r#"{"model":"wanted","x":[1],"messages":[{"role":"user","content":"hi"}]}"#;

/// The world of a question: one provider, and an agent that writes down what it is told.
struct Board {
    thinker: Rc<Thinker>,
    provider: ProviderSetup,
    said: Vec<(u32, Message)>,
    inputs: RefCell<Vec<Input>>,
}

impl Around for Board {
    fn brain(&self) -> BrainSetup {
        BrainSetup { providers: vec![self.provider.clone()], ..BrainSetup::default() }
    }

    fn messages(&self, _: &str, from: u32, upto: u32, bytes_max: usize) -> Option<Vec<(u32, Message)>> {
        let mut left = bytes_max;
        let within = self.said.iter().rev().filter(|(number, _)| (from..=upto).contains(number));
        let fitting = within.enumerate().take_while(|(index, (_, message))| {
            let fits = left.checked_sub(message.bytes());
            left = fits.unwrap_or(0);
            fits.is_some() || *index == 0
        });
        let mut found: Vec<_> = fitting.map(|(_, message)| message.clone()).collect();
        found.reverse();
        Some(found)
    }

    fn tools(&self, names: &[String]) -> String {
        crate::wire::tools::schemas(names)
    }

    fn wall(&self) -> Wall {
        Wall(1_700_000_000_000)
    }

    fn feed(&self, input: Input) {
        let is_left = matches!(input, Input::CallerLeft { .. });
        self.inputs.borrow_mut().push(input);
        let stopped = is_left.then(|| self.thinker.stop(ID)).flatten();
        self.inputs.borrow_mut().extend(stopped);
    }
}

impl Board {
    fn ask(self: &Rc<Self>, shape: Shape) -> Waiting {
        let waiting = self.thinker.begin(REQUEST, Some(Question { body: BODY.as_bytes().to_vec(), shape }));
        self.think(Prompt::Caller(REQUEST));
        waiting
    }

    fn think(&self, prompt: Prompt) {
        assert_eq!(self.thinker.think(ID, prompt, "p".to_owned(), "m".to_owned()), None);
    }

    /// Waits for the end of the question.
    async fn end(&self) -> ThoughtEnd {
        self.until(|inputs| match inputs.last() {
            Some(Input::Thought { thought: ID, news: ThoughtNews::Ended(end) }) => Some(end.clone()),
            _ => None,
        })
        .await
    }

    async fn until<T>(&self, fact: impl Fn(&[Input]) -> Option<T>) -> T {
        for _ in 0..5_000 {
            if let Some(found) = fact(&self.inputs.borrow()) {
                return found;
            }
            Timer::after(Duration::from_millis(1)).await;
        }
        panic!("it did not happen: {:?}", self.inputs.borrow());
    }

    fn has_begun(&self) -> bool {
        let began = Input::Thought { thought: ID, news: ThoughtNews::Began };
        self.inputs.borrow().contains(&began)
    }
}

fn at<F: Future<Output = ()>>(
    provider: ProviderSetup,
    said: Vec<(u32, Message)>,
    story: impl FnOnce(Rc<Board>) -> F,
) {
    let dialer = Dialer::new(None).expect("no certificate to refuse");
    let thinker = Thinker::new(Client::new(Rc::new(dialer)));
    let board = Rc::new(Board { thinker, provider, said, inputs: RefCell::default() });
    let around = Rc::clone(&board) as Rc<dyn Around>;
    block_on(future::or(story(Rc::clone(&board)), keep(Rc::clone(&board.thinker), around)));
}

/// A provider that does this with each connection, and what it was asked.
fn provider(
    kind: ProviderKind,
    serve: impl Fn(&str, &mut TcpStream) + Send + 'static,
) -> (ProviderSetup, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (tell, heard) = mpsc::channel();
    let work = move || {
        for mut stream in listener.incoming().flatten() {
            let request = request_of(&mut stream);
            let _ = tell.send(request.clone());
            serve(&request, &mut stream);
        }
    };
    thread::Builder::new().spawn(work).expect("a thread");
    let setup = ProviderSetup {
        name: "p".to_owned(),
        kind,
        base_url: format!("http://127.0.0.1:{port}/v1"),
        api_key: crate::agent::setup::Secret("key".to_owned()),
        timeout_ms: 5_000,
        ..ProviderSetup::default()
    };
    (setup, heard)
}

fn saying(kind: ProviderKind, answer: impl Into<String>) -> (ProviderSetup, Receiver<String>) {
    let answer = answer.into();
    provider(kind, move |_, stream| drop(stream.write_all(answer.as_bytes())))
}

fn request_of(stream: &mut impl Read) -> String {
    let (mut text, mut byte) = (String::new(), [0]);
    while !text.ends_with("\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        text.push(char::from(byte[0]));
    }
    let length = text
        .to_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    let _ = stream.read_exact(&mut body);
    text + &String::from_utf8_lossy(&body)
}

fn ok(kind: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn chunk(text: &str) -> String {
    format!(
        "data: {{\"model\":\"real\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}],\"odd\":1}}\n\n"
    )
}

const FIRST: &str = "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
const LAST: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

/// The text that goes through, and how it ends.
async fn read(source: &mut Box<dyn ChunkSource>) -> (String, Chunk) {
    let mut text = Vec::new();
    loop {
        match poll_fn(|cx| source.poll_next(cx)).await {
            Chunk::Bytes(bytes) => {
                assert!(bytes.len() <= 8 * 1024, "{} bytes", bytes.len());
                text.extend(bytes);
            }
            end => return (String::from_utf8_lossy(&text).into_owned(), end),
        }
    }
}

async fn opened(waiting: Waiting) -> Box<dyn ChunkSource> {
    match waiting.opened().await {
        Opened::Stream(source) => source,
        Opened::Done(answer) => panic!("{answer:?}"),
    }
}

fn body_of(request: &str) -> &str {
    request.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

#[test]
fn a_stream_goes_through_as_it_came_and_is_counted() {
    let answer = format!("{FIRST}{}{}{LAST}", chunk("a"), chunk("b"));
    let (setup, heard) = saying(ProviderKind::OpenAi, ok("text/event-stream", &answer));
    at(setup, Vec::new(), async |board| {
        let mut source = opened(board.ask(EVENTS)).await;
        assert_eq!(read(&mut source).await, (answer, Chunk::End));
        let ThoughtEnd::Answered(reply) = board.end().await else { panic!("answered") };
        assert_eq!(
            (reply.text, &*reply.model, reply.tokens_in, reply.tokens_out),
            (String::new(), "real", 3, 2)
        );
        assert!(board.has_begun() && board.thinker.under_way() == 0);
        drop(source);
        assert_eq!(board.thinker.ask_done(REQUEST, AskAnswer::Passed), None);
        let left = board.inputs.borrow().iter().any(|input| matches!(input, Input::CallerLeft { .. }));
        assert!(!left, "who has the whole answer has not left");
    });
    let request = heard.recv().expect("a request");
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("authorization: Bearer key\r\n"), "{request}");
    let want = r#"{"x":[1],"messages":[{"role":"user","content":"hi"}],"model":"m","stream":true}"#;
    assert_eq!(body_of(&request), want);
}

#[test]
fn an_answer_in_one_piece_goes_through_as_it_came() {
    let answer = format!(
        r#"{{"odd":[{{}}],"model":"real","choices":[{{"message":{{"content":"{}"}}}}],"usage":{{"prompt_tokens":3,"completion_tokens":9}}}}"#,
        "x".repeat(50_000)
    );
    let (setup, heard) = saying(ProviderKind::OpenAi, ok("application/json", &answer));
    at(setup, Vec::new(), async |board| {
        let mut source = opened(board.ask(Shape::Whole)).await;
        assert_eq!(read(&mut source).await, (answer, Chunk::End));
        let ThoughtEnd::Answered(reply) = board.end().await else { panic!("answered") };
        assert_eq!((reply.tokens_in, reply.tokens_out), (3, 9));
    });
    assert!(!body_of(&heard.recv().expect("a request")).contains("stream"));
}

#[test]
fn what_fails_before_the_first_words_is_a_failure_and_the_caller_hears_nothing() {
    let status =
        |line: &str, body: &str| format!("HTTP/1.1 {line}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let (retry, none) = (|fault| ThoughtFault::Retry { fault, after_ms: None }, String::new);
    let events = |text: &str| ok("text/event-stream", text);
    let cut = format!("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{FIRST}");
    for (answer, want) in [
        (
            status("429 Slow\r\nRetry-After: 9", "{}"),
            ThoughtFault::Retry { fault: Fault::Status(429), after_ms: Some(9_000) },
        ),
        (status("503 No", "<html>"), retry(Fault::Status(503))),
        (
            status("401 No", r#"{"error":{"message":"bad key"}}"#),
            ThoughtFault::Provider { status: 401, why: "bad key".to_owned() },
        ),
        (
            status("429 No", r#"{"error":{"message":"spent","code":"insufficient_quota"}}"#),
            ThoughtFault::Provider { status: 429, why: "spent".to_owned() },
        ),
        (
            status("400 No", r#"{"error":{"message":"too long"}}"#),
            ThoughtFault::Question { status: 400, why: "too long".to_owned() },
        ),
        (status("404 No", ""), ThoughtFault::Provider { status: 404, why: none() }),
        (String::new(), retry(Fault::Reset)),
        (cut, retry(Fault::Reset)),
        (events("<html>no</html>"), retry(Fault::Garbage)),
        (events("data: {nonsense\n\n"), retry(Fault::Garbage)),
        (events(""), retry(Fault::Garbage)),
        (events(&format!("{FIRST}data: [DONE]x\n\n")), retry(Fault::Garbage)),
        (events(&"x".repeat(70_000)), retry(Fault::TooLarge)),
        (events(&FIRST.repeat(400)), retry(Fault::TooLarge)),
        (events(&": wait\n\n".repeat(9_000)), retry(Fault::Garbage)),
        (events(&format!("{FIRST}data: [DONE]\n\n")), retry(Fault::Garbage)),
        (events("data: {\"error\":{\"message\":\"busy\",\"code\":503}}\n\n"), retry(Fault::Status(503))),
    ] {
        let (setup, _heard) = saying(ProviderKind::OpenAi, &*answer);
        at(setup, Vec::new(), async |board| {
            let waiting = board.ask(EVENTS);
            assert_eq!(board.end().await, ThoughtEnd::Failed(want), "{answer:.90}");
            assert!(!board.has_begun());
            // The agent has the last word.
            assert_eq!(board.thinker.ask_done(REQUEST, AskAnswer::Waits), None);
            let Opened::Done(AskAnswer::Waits) = waiting.opened().await else { panic!("no answer") };
        });
    }
}

#[test]
fn a_second_provider_answers_the_same_question_after_a_failure() {
    let (setup, heard) = provider(ProviderKind::OpenAi, {
        let turn = Cell::new(0);
        move |_, stream| {
            turn.set(turn.get() + 1);
            let answer =
                if turn.get() == 1 { String::new() } else { ok("a/b", &format!("{}{LAST}", chunk("a"))) };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    at(setup, Vec::new(), async |board| {
        let waiting = board.ask(EVENTS);
        assert_eq!(board.end().await, ThoughtEnd::Failed(retry(Fault::Reset)));
        board.think(Prompt::Caller(REQUEST));
        let (text, end) = read(&mut opened(waiting).await).await;
        assert_eq!((text, end), (format!("{}{LAST}", chunk("a")), Chunk::End));
    });
    let (first, second) = (heard.recv().expect("one"), heard.recv().expect("two"));
    assert_eq!(body_of(&first), body_of(&second));
}

#[test]
fn an_answer_that_breaks_off_is_told_from_a_whole_one() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let error = "data: {\"error\":{\"message\":\"gone\",\"code\":502}}\n\n";
    for (shape, answer, want, fault) in [
        (EVENTS, chunk("a"), Chunk::End, Fault::Reset),
        (EVENTS, format!("{}{error}", chunk("a")), Chunk::End, Fault::Status(502)),
        (EVENTS, format!("{}data: [\n\n", chunk("a")), Chunk::End, Fault::Garbage),
        (Shape::Lines, chunk("a"), Chunk::End, Fault::Reset),
        (Shape::Plain, chunk("a"), Chunk::Cut, Fault::Reset),
        (
            Shape::Whole,
            format!(r#"{{"choices":[{{"message":{{"content":"{}"#, "x".repeat(2_000)),
            Chunk::Cut,
            Fault::Reset,
        ),
    ] {
        let (first, rest) = answer.split_at(answer.find("\n\n").map_or(answer.len(), |at| at + 2));
        let (first, rest) = (first.to_owned(), rest.to_owned());
        let (go, wait) = mpsc::channel::<()>();
        let (setup, _heard) = provider(ProviderKind::OpenAi, move |_, stream| {
            let piece = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
            let _ = write!(stream, "{head}{}", piece(&first));
            let _ = wait.recv();
            if !rest.is_empty() {
                let _ = write!(stream, "{}", piece(&rest));
            }
        });
        at(setup, Vec::new(), async |board| {
            let mut source = opened(board.ask(shape)).await;
            go.send(()).expect("the provider waits");
            let (text, end) = read(&mut source).await;
            assert_eq!(end, want, "{shape:?}");
            assert!(!text.contains("[DONE]") && !text.contains("\"done\":true"), "{text}");
            assert_eq!(text.contains("\"error\""), shape.is_stream(), "{text}");
            assert_eq!(
                text.matches("\"error\"").count(),
                usize::from(shape.is_stream()),
                "told once: {text}"
            );
            let ThoughtEnd::Broke(_, found) = board.end().await else { panic!("broke") };
            assert_eq!(found, fault, "{shape:?} {answer}");
        });
    }
}

#[test]
fn silence_is_a_time_out_before_and_after_the_first_words() {
    for first in ["", "HTTP/1.1 200 OK\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"] {
        let (keep_open, kept) = mpsc::channel();
        let (setup, _heard) = provider(ProviderKind::OpenAi, move |_, stream| {
            let _ = stream.write_all(first.as_bytes());
            let _ = keep_open.send(stream.try_clone());
        });
        let setup = ProviderSetup { timeout_ms: 80, ..setup };
        at(setup, Vec::new(), async |board| {
            let waiting = board.ask(EVENTS);
            match board.end().await {
                ThoughtEnd::Failed(fault) => {
                    assert!(fault == retry(Fault::Timeout) && first.is_empty())
                }
                ThoughtEnd::Broke(_, fault) => assert!(fault == Fault::Timeout && !first.is_empty()),
                other => panic!("{other:?}"),
            }
            drop(waiting);
        });
        drop(kept);
    }
}

#[test]
fn signs_of_life_are_no_answer() {
    let (setup, _heard) = provider(ProviderKind::OpenAi, |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(b": still here\n\n").is_ok() {
            thread::park_timeout(Duration::from_millis(5));
        }
    });
    at(ProviderSetup { timeout_ms: 80, ..setup }, Vec::new(), async |board| {
        let _waiting = board.ask(EVENTS);
        assert_eq!(board.end().await, ThoughtEnd::Failed(retry(Fault::Timeout)));
    });
}

#[test]
fn a_short_error_in_one_piece_is_a_failure_however_it_is_cut() {
    let (setup, _heard) = provider(ProviderKind::OpenAi, |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{");
        thread::park_timeout(Duration::from_millis(20));
        let _ = stream.write_all(br#""error":{"message":"busy","code":429}}"#);
    });
    at(setup, Vec::new(), async |board| {
        let _waiting = board.ask(Shape::Whole);
        assert_eq!(board.end().await, ThoughtEnd::Failed(retry(Fault::Status(429))));
    });
}

#[test]
fn a_caller_that_leaves_ends_it_upstream_whether_it_had_begun_or_not() {
    for first in
        ["", "HTTP/1.1 200 OK\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"abcdefgh\"}}]}\n\n"]
    {
        let (tell, ended_there) = mpsc::channel();
        let (setup, heard) = provider(ProviderKind::OpenAi, move |_, stream| {
            let _ = stream.write_all(first.as_bytes());
            let _ = stream.read(&mut [0; 1]);
            let _ = tell.send(());
        });
        at(setup, Vec::new(), async |board| {
            let waiting = board.ask(EVENTS);
            if first.is_empty() {
                while heard.try_recv().is_err() {
                    Timer::after(Duration::from_millis(1)).await;
                }
                drop(waiting);
            } else {
                drop(opened(waiting).await);
            }
            let ThoughtEnd::Left(reply) = board.end().await else { panic!("left") };
            assert_eq!(reply.tokens_out > 0, !first.is_empty());
            let left = Input::CallerLeft { request: REQUEST };
            assert_eq!(board.inputs.borrow().iter().filter(|input| **input == left).count(), 1);
            assert_eq!(board.thinker.under_way(), 0);
        });
        ended_there.recv_timeout(Duration::from_secs(5)).expect("the provider sees the end");
    }
}

#[test]
fn a_caller_that_does_not_read_stops_the_provider() {
    let (count, counted) = mpsc::channel();
    let (setup, _heard) = provider(ProviderKind::OpenAi, move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let piece = chunk(&"x".repeat(1_000)).repeat(16);
        while stream.write_all(piece.as_bytes()).is_ok() {
            let _ = count.send(piece.len());
        }
    });
    at(setup, Vec::new(), async |board| {
        let source = opened(board.ask(EVENTS)).await;
        // The kernel's buffers fill up, and then nothing moves.
        let (mut taken, mut idle) = (0, 0);
        while idle < 5 {
            Timer::after(Duration::from_millis(20)).await;
            let more: usize = counted.try_iter().sum();
            idle = if more == 0 { idle + 1 } else { 0 };
            taken += more;
            assert!(taken < 16 * 1024 * 1024, "{taken} bytes of an answer that nobody reads");
        }
        assert!(board.has_begun() && board.thinker.under_way() == 1);
        let held: usize = board.thinker.asks.borrow().values().map(|asked| asked.held()).sum();
        assert!(held <= 24 * 1024, "{held} bytes are held for a caller that does not read");
        drop(source);
        let ThoughtEnd::Left(_) = board.end().await else { panic!("left") };
    });
}

#[test]
fn a_stopped_question_is_answered_at_once_and_its_caller_sees_an_end() {
    let (setup, _heard) = provider(ProviderKind::OpenAi, |_, stream| {
        let _ = write!(stream, "HTTP/1.1 200 OK\r\n\r\n{}", chunk("a"));
        let _ = stream.read(&mut [0; 1]);
    });
    at(setup, Vec::new(), async |board| {
        let mut source = opened(board.ask(EVENTS)).await;
        let stopped = board.thinker.stop(ID);
        assert!(matches!(
            stopped,
            Some(Input::Thought { news: ThoughtNews::Ended(ThoughtEnd::Left(_)), .. })
        ));
        assert_eq!(board.thinker.stop(ID), None, "once");
        let (text, end) = read(&mut source).await;
        assert!(text.ends_with("\"code\":\"upstream_broke_off\"}}\n\n") && end == Chunk::End, "{text}");
        // A question that was never begun, and one whose caller is gone.
        board.think(Prompt::Caller(REQUEST));
        assert!(board.thinker.stop(ID).is_some());
        drop(source);
        board.thinker.ask_done(REQUEST, AskAnswer::Broke(Fault::Reset));
        let gone = board.thinker.think(ID, Prompt::Caller(REQUEST), "p".to_owned(), String::new());
        assert!(matches!(gone, Some(Input::Thought { news: ThoughtNews::Ended(ThoughtEnd::Left(_)), .. })));
    });
}

#[test]
fn ollama_and_maclink_answer_in_openais_shape() {
    let lines = "{\"model\":\"l\",\"message\":{\"content\":\"he\"}}\n{\"message\":{\"content\":\"y\"}}\n{\"done\":true,\"prompt_eval_count\":4,\"eval_count\":2}\n";
    let (setup, heard) = saying(ProviderKind::Ollama, ok("application/x-ndjson", lines));
    at(setup, Vec::new(), async |board| {
        let (text, end) = read(&mut opened(board.ask(Shape::Whole)).await).await;
        let json = Json::parse(text.as_bytes()).expect("one object");
        let choice = json.get("choices").and_then(|list| list.items().next()).expect("a choice");
        let content = choice.at(&["message", "content"]).and_then(Json::text);
        assert_eq!((content.as_deref(), end), (Some("hey"), Chunk::End));
        assert_eq!(json.at(&["usage", "total_tokens"]).and_then(Json::u64), Some(6));
    });
    let request = heard.recv().expect("a request");
    assert!(request.starts_with("POST /v1/api/chat ") && request.contains("Bearer key"), "{request}");

    let (setup, heard) = provider(ProviderKind::MacLink, |request, stream| {
        let body = if request.starts_with("GET") {
            r#"{"status":"ready"}"#
        } else {
            r#"{"content":"h\u00e9y","tokens_used":40}"#
        };
        let _ = stream.write_all(ok("application/json", body).as_bytes());
    });
    at(setup, Vec::new(), async |board| {
        let (text, end) = read(&mut opened(board.ask(EVENTS)).await).await;
        assert!(text.contains("\"content\":\"h\u{e9}y\"") && text.ends_with("data: [DONE]\n\n"), "{text}");
        assert_eq!(end, Chunk::End);
        let ThoughtEnd::Answered(reply) = board.end().await else { panic!("answered") };
        assert_eq!(reply.tokens_in + reply.tokens_out, 40);
    });
    let (first, second) = (heard.recv().expect("one"), heard.recv().expect("two"));
    assert!(first.starts_with("GET /v1/api/models/m/status ") && first.contains("Bearer key"), "{first}");
    assert!(second.starts_with("POST /v1/api/generate ") && second.contains("Bearer key"), "{second}");

    let (setup, _heard) = saying(ProviderKind::MacLink, ok("a/b", r#"{"status":"loading"}"#));
    at(setup, Vec::new(), async |board| {
        let _waiting = board.ask(EVENTS);
        assert_eq!(board.end().await, ThoughtEnd::Failed(retry(Fault::Status(503))));
    });
}

fn message(role: Role, text: &str) -> Message {
    let (calls, call_id) = (Vec::new(), String::new());
    Message { role, text: text.to_owned(), at: Wall(0), calls, call_id, is_partial: false }
}

fn prompt(tokens_max: u32) -> Prompt {
    Prompt::Session(Box::new(SessionPrompt {
        session: "s".to_owned(),
        from: 1,
        upto: 9,
        tokens_max,
        instruction: "be kind".to_owned(),
        tools: vec!["list-dir".to_owned()],
    }))
}

#[test]
fn a_conversation_is_sent_along_heard_as_it_comes_and_replied_with_its_calls() {
    let call = "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c\",\"function\":{\"name\":\"list-dir\",\"arguments\":\"{\\\"path\\\":\\\"a/../b\\\"}\"}}]},\"finish_reason\":\"tool_calls\"}]}\n\n";
    let answer = format!("{FIRST}{}{}{call}data: [DONE]\n\n", chunk("a"), chunk("b"));
    let (setup, heard) = saying(ProviderKind::OpenAi, ok("text/event-stream", &answer));
    let said = vec![(1, message(Role::User, &"zzz".repeat(400))), (2, message(Role::User, "what is here?"))];
    at(setup, said, async |board| {
        let mut listener = board.thinker.listen("s").expect("a place");
        let mut other = board.thinker.listen("t").expect("a place");
        board.think(prompt(100));
        let ThoughtEnd::Answered(reply) = board.end().await else { panic!("answered") };
        assert_eq!((&*reply.text, reply.calls.len()), ("ab", 1));
        assert_eq!((&*reply.calls[0].name, &*reply.calls[0].id), ("list-dir", "c"));
        assert_eq!(Ok(&reply.calls[0].subject), tools_subject().as_ref(), "what it touches");
        let (provider, model) = ("p".to_owned(), "m".to_owned());
        assert_eq!(listener.next().await, Heard::Began { provider, model });
        let mut text = String::new();
        let mut next = listener.next().await;
        while let Heard::Text(more) = next {
            text += &more;
            next = listener.next().await;
        }
        assert_eq!(text, "ab");
        assert_eq!(next, Heard::Call(Box::new(reply.calls[0].clone())));
        assert_eq!(listener.next().await, Heard::Ended { is_whole: true });
        assert!(future::poll_once(other.next()).await.is_none());
    });
    let request = heard.recv().expect("a request");
    let body = body_of(&request);
    assert!(body.contains("be kind") && body.contains("what is here?") && !body.contains("zzz"), "{body}");
    assert!(body.contains("\"name\":\"list-dir\"") && body.contains("\"stream\":true"), "{body}");
}

fn tools_subject() -> Result<String, String> {
    crate::wire::tools::subject("list-dir", r#"{"path":"a/../b"}"#).or(Ok(String::new()))
}

#[test]
fn a_result_is_never_sent_without_its_call_and_a_partial_reply_calls_nothing() {
    let call = "data: {\"choices\":[{\"delta\":{\"content\":\"x\",\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\"}}]}}]}\n\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n";
    let (setup, heard) = saying(ProviderKind::OpenAi, format!("{head}{call}"));
    let calling = crate::agent::brain::speech::ToolCall {
        id: "c".to_owned(),
        name: "events".to_owned(),
        arguments: "{}".to_owned(),
        subject: String::new(),
    };
    let said = vec![
        (1, message(Role::User, "question")),
        (2, Message { calls: vec![calling], ..message(Role::Assistant, "") }),
        (3, Message { call_id: "c".to_owned(), ..message(Role::Tool, &"result ".repeat(200)) }),
    ];
    at(setup, said, async |board| {
        board.think(prompt(10));
        let ThoughtEnd::Broke(reply, Fault::Reset) = board.end().await else { panic!("broke") };
        assert_eq!((&*reply.text, reply.calls.len()), ("x", 0));
    });
    let request = heard.recv().expect("a request");
    let body = body_of(&request);
    assert!(body.contains("result") && body.contains("\"tool_calls\""), "{body}");
}
