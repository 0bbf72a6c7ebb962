//! Models upstream of each kind, that fail as they do: `model.rs` is the one that behaves.

use std::time::Duration;

use super::json;
use super::port::{Answer, Peer, Port, Request, StreamEnd};
use super::watched::Watched;

/// What it does with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    Answers,
    /// After the first words.
    Cut,
    /// Before anything.
    CutAtOnce,
    Garbage,
    Status(u16),
    /// This long before the first byte.
    Slow(Duration),
    /// Falls silent after the first words, the connection open.
    Silent,
    /// The same, before anything but the head.
    SilentAtOnce,
    /// A line that does not end.
    HugeLine,
    /// An error object as the first thing.
    ErrorFirst,
    /// An error object after the first words.
    ErrorLater,
}

#[derive(Debug)]
pub struct State {
    pub course: Course,
    pub words: Vec<String>,
    pub retry_after: Option<u32>,
    pub seen: Vec<Request>,
    /// Callers who left while it was silent.
    pub left: usize,
}

pub struct Model {
    pub state: Watched<State>,
}

/// A new one on its own port that says these words.
pub fn open(words: &[&str]) -> Port<Model> {
    let words = words.iter().map(|word| (*word).to_owned()).collect();
    let (course, retry_after, seen, left) = (Course::Answers, None, Vec::new(), 0);
    Port::open(Model { state: Watched::new(State { course, words, retry_after, seen, left }) })
}

impl Peer for Model {
    fn answer(&self, request: Request) -> Answer {
        self.state.change(|state| {
            let answer = answer(state, &request);
            state.seen.push(request);
            answer
        })
    }

    fn left(&self) {
        self.state.change(|state| state.left += 1);
    }
}

fn answer(state: &State, request: &Request) -> Answer {
    let is_ollama = request.path.ends_with("/api/chat");
    let is_maclink = request.path.ends_with("/api/generate");
    if request.method == "GET" {
        return Answer::json(
            200,
            r#"{"status":"ready","data":[{"id":"stand-in"}],"models":[{"name":"stand-in"}]}"#,
        );
    }
    if let Course::Status(status) = state.course {
        let mut answer = Answer::json(status, r#"{"error":{"message":"not today","type":"x","code":null}}"#);
        answer.headers.extend(state.retry_after.map(|s| ("Retry-After".to_owned(), s.to_string())));
        return answer;
    }
    let words: Vec<_> = state.words.iter().map(|word| json::quoted(word)).collect();
    let whole = json::quoted(&state.words.concat());
    if is_maclink {
        return Answer::json(200, format!("{{\"content\":{whole},\"tokens_used\":9}}"));
    }
    let is_stream = request.body.contains("\"stream\":true");
    if !is_stream && state.course == Course::Answers {
        return Answer::json(
            200,
            format!(
                "{{\"id\":\"x\",\"object\":\"chat.completion\",\"model\":\"stand-in\",\"odd\":1,\"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{whole}}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":5}}}}"
            ),
        );
    }
    let (first, rest, end) = if is_ollama { lines(&words) } else { events(&words) };
    stream(
        state.course,
        if is_ollama { "application/x-ndjson" } else { "text/event-stream" },
        (first, rest, end),
    )
}

/// Words in pieces as they are streamed: the first, the others, the end.
type Pieces = (String, Vec<String>, String);

fn events(words: &[String]) -> Pieces {
    let event = |word: &String| {
        format!(
            "data: {{\"id\":\"x\",\"model\":\"stand-in\",\"odd\":1,\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{word}}},\"finish_reason\":null}}]}}\n\n"
        )
    };
    let mut pieces: Vec<_> = words.iter().map(event).collect();
    let first = if pieces.is_empty() { String::new() } else { pieces.remove(0) };
    let role = "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n";
    let end = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5}}\n\ndata: [DONE]\n\n";
    (format!("{role}{first}"), pieces, end.to_owned())
}

fn lines(words: &[String]) -> Pieces {
    let line = |word: &String| {
        format!(
            "{{\"model\":\"stand-in\",\"message\":{{\"role\":\"assistant\",\"content\":{word}}},\"done\":false}}\n"
        )
    };
    let mut pieces: Vec<_> = words.iter().map(line).collect();
    let first = if pieces.is_empty() { String::new() } else { pieces.remove(0) };
    let end = "{\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"prompt_eval_count\":7,\"eval_count\":5}\n";
    (first, pieces, end.to_owned())
}

fn stream(course: Course, kind: &'static str, (first, rest, end): Pieces) -> Answer {
    let error = "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n".to_owned();
    let whole = || std::iter::once(first.clone()).chain(rest.clone()).chain([end.clone()]).collect();
    let of = |pieces: Vec<String>, end| Answer::stream(kind, pieces, end);
    match course {
        Course::Answers | Course::Status(_) => of(whole(), StreamEnd::Whole),
        Course::Cut => of(vec![first], StreamEnd::Cut),
        Course::CutAtOnce => of(Vec::new(), StreamEnd::Cut),
        Course::Garbage => of(vec!["<html>sign in</html>\n\n".to_owned()], StreamEnd::Whole),
        Course::Slow(after) => Answer { after, ..of(whole(), StreamEnd::Whole) },
        Course::Silent => of(vec![first], StreamEnd::Held),
        Course::SilentAtOnce => of(Vec::new(), StreamEnd::Held),
        Course::HugeLine => of(vec!["data: ".to_owned() + &"x".repeat(200_000)], StreamEnd::Whole),
        Course::ErrorFirst => of(vec![error], StreamEnd::Whole),
        Course::ErrorLater => of(vec![first, error], StreamEnd::Whole),
    }
}
