//! A model upstream that speaks OpenAI's chat completions and says what a test has it say.

use std::collections::VecDeque;

use super::json;
use super::port::{Answer, Peer, Port, Request};
use super::watched::Watched;

/// What it says to one question.
#[derive(Clone, Debug)]
pub enum Say {
    /// A text.
    Text(String),
    /// Calls of tools: name and arguments of each.
    Calls(Vec<(&'static str, String)>),
    /// Another status, and an error's code.
    Status(u16, &'static str),
}

#[derive(Debug, Default)]
pub struct State {
    /// Said in this order; when there is nothing left, `done`.
    pub script: VecDeque<Say>,
    pub seen: Vec<Request>,
}

pub struct Model {
    pub state: Watched<State>,
}

pub fn open(script: impl IntoIterator<Item = Say>) -> Port<Model> {
    let state = State { script: script.into_iter().collect(), seen: Vec::new() };
    Port::open(Model { state: Watched::new(state) })
}

impl Peer for Model {
    fn answer(&self, request: Request) -> Answer {
        let is_streamed = request.body.contains("\"stream\":true");
        let say = self.state.change(|state| {
            state.seen.push(request);
            state.script.pop_front().unwrap_or(Say::Text("done".to_owned()))
        });
        let (message, finish) = match say {
            Say::Status(status, code) => {
                let body = format!(r#"{{"error":{{"message":"no","type":"x","code":"{code}"}}}}"#);
                return Answer::json(status, body);
            }
            Say::Text(text) => (format!("\"content\":{}", json::quoted(&text)), "stop"),
            Say::Calls(calls) => (calls_of(&calls), "tool_calls"),
        };
        let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":5,"total_tokens":12}"#;
        if !is_streamed {
            let body = format!(
                r#"{{"id":"c","object":"chat.completion","model":"m","choices":[{{"index":0,"message":{{"role":"assistant",{message}}},"finish_reason":"{finish}"}}],{usage}}}"#
            );
            return Answer::json(200, body);
        }
        let chunk = |choices: &str| {
            format!(
                "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m\",\"choices\":[{choices}]"
            )
        };
        let mut body =
            chunk(&format!("{{\"index\":0,\"delta\":{{\"role\":\"assistant\",{message}}}}}")) + "}\n\n";
        body += &(chunk(&format!("{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"{finish}\"}}")) + "}\n\n");
        body += &format!("{},{usage}}}\n\ndata: [DONE]\n\n", chunk(""));
        Answer { content_type: "text/event-stream", ..Answer::json(200, body) }
    }
}

fn calls_of(calls: &[(&str, String)]) -> String {
    let calls: Vec<String> = calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| {
            format!(
                r#"{{"index":{index},"id":"call_{index}","type":"function","function":{{"name":"{name}","arguments":{}}}}}"#,
                json::quoted(arguments)
            )
        })
        .collect();
    format!("\"content\":null,\"tool_calls\":[{}]", calls.join(","))
}
