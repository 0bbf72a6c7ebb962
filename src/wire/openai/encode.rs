//! Answers of other providers in the shapes that callers know, piece by piece: nothing but calls of tools is held back.

use super::{error_body, push_call};
use crate::agent::event::push_json_string;
use crate::agent::limits::{MESSAGE_BYTES_MAX, TOOL_CALLS_MAX};
use crate::agent::time::Wall;
use crate::wire::chat::{Delta, Finish, Gather};
use crate::wire::json::{push_raw, push_text};
use crate::wire::ollama;
use crate::wire::time::format_rfc3339;
use crate::wire::words::cut;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Chat completions as server-sent events; with a last chunk about tokens, if it is wanted.
    Events {
        /// `stream_options.include_usage`.
        with_usage: bool,
    },
    /// One chat completion.
    Whole,
    /// Lines as Ollama's `/api/chat` writes them.
    Lines,
    /// One object with `response` and `message`.
    Plain,
}

impl Shape {
    /// The media type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Events { .. } => "text/event-stream",
            Self::Whole | Self::Plain => "application/json",
            Self::Lines => "application/x-ndjson",
        }
    }

    /// Whether the client sees the answer as it comes, so that it can be told of an end before its time.
    #[must_use]
    pub fn is_stream(self) -> bool {
        matches!(self, Self::Events { .. } | Self::Lines)
    }
}

/// Writes one answer.
#[derive(Debug)]
pub struct Encoder {
    shape: Shape,
    /// Unique among the answers of this process.
    number: u64,
    at: Wall,
    model: String,
    is_begun: bool,
    has_calls: bool,
    /// What `message` repeats in the plain shape, at most `MESSAGE_BYTES_MAX`, and whether that was all.
    text: String,
    is_text_cut: bool,
}

impl Encoder {
    /// `model`: as the provider knows it, until the provider says something else.
    #[must_use]
    pub fn new(shape: Shape, number: u64, at: Wall, model: &str) -> Self {
        let model = model.to_owned();
        let (text, is_text_cut) = (String::new(), false);
        Self { shape, number, at, model, is_begun: false, has_calls: false, text, is_text_cut }
    }

    /// Writes a piece.
    pub fn push(&mut self, delta: &Delta, out: &mut String) {
        match (delta, self.shape) {
            (Delta::Model(model), _) if !self.is_begun => model.clone_into(&mut self.model),
            (Delta::Text(text), Shape::Events { .. }) => self.push_text_chunk(text, out),
            (Delta::Text(text), Shape::Lines) => self.push_line(text, "", out),
            (Delta::Text(text), Shape::Whole | Shape::Plain) => {
                self.begin_whole(out);
                push_escaped(out, text);
                if self.shape == Shape::Plain {
                    self.remember(text);
                }
            }
            (Delta::Call { index, .. }, _) if *index >= TOOL_CALLS_MAX => {}
            (Delta::Call { index, id, name, arguments }, Shape::Events { .. }) => {
                self.has_calls = true;
                let mut call = String::from("[");
                push_call(&mut call, Some(*index), id, name, arguments);
                call.push(']');
                self.push_chunk(&format!("\"tool_calls\":{call}"), None, out);
            }
            _ => {}
        }
    }

    /// Writes the end. `gathered`: all pieces, their calls included if the shape is not `Events`.
    pub fn end(&mut self, gathered: &Gather, bytes_in: u64, out: &mut String) {
        let reply = gathered.reply(bytes_in);
        let has_calls = self.has_calls || !reply.calls.is_empty();
        let finish = match gathered.finish() {
            None | Some(Finish::Stop) if has_calls => Finish::ToolCalls,
            finish => finish.unwrap_or(Finish::Stop),
        };
        let mut usage = String::from("{");
        push_raw(&mut usage, "prompt_tokens", &reply.tokens_in.to_string());
        push_raw(&mut usage, "completion_tokens", &reply.tokens_out.to_string());
        let total = u64::from(reply.tokens_in) + u64::from(reply.tokens_out);
        push_raw(&mut usage, "total_tokens", &total.to_string());
        usage.push('}');
        let mut calls = String::from("[");
        for call in &reply.calls {
            push_call(&mut calls, None, &call.id, &call.name, &call.arguments);
        }
        calls.push(']');
        match self.shape {
            Shape::Events { with_usage } => {
                self.push_chunk("", Some(finish), out);
                if with_usage {
                    self.push_head(out, "data: {", "chat.completion.chunk");
                    out.push_str(",\"choices\":[]");
                    push_raw(out, "usage", &usage);
                    out.push_str("}\n\n");
                }
                out.push_str("data: [DONE]\n\n");
            }
            Shape::Whole => {
                self.begin_whole(out);
                out.push('"');
                if !reply.calls.is_empty() {
                    push_raw(out, "tool_calls", &calls);
                }
                out.push('}');
                push_text(out, "finish_reason", finish.as_str());
                out.push_str("}]");
                push_raw(out, "usage", &usage);
                out.push('}');
            }
            Shape::Lines => {
                if !reply.calls.is_empty() {
                    let calls = ollama::calls_json(&reply.calls);
                    self.push_line("", &calls, out);
                }
                self.line_head("", "", true, out);
                push_text(out, "done_reason", if finish == Finish::Length { "length" } else { "stop" });
                push_raw(out, "prompt_eval_count", &reply.tokens_in.to_string());
                push_raw(out, "eval_count", &reply.tokens_out.to_string());
                out.push_str("}\n");
            }
            Shape::Plain => {
                self.begin_whole(out);
                out.push_str("\",\"message\":{\"role\":\"assistant\"");
                push_text(out, "content", &std::mem::take(&mut self.text));
                if self.is_text_cut {
                    push_raw(out, "is_cut", "true");
                }
                if !reply.calls.is_empty() {
                    push_raw(out, "tool_calls", &calls);
                }
                out.push_str("},\"done\":true");
                push_text(out, "done_reason", finish.as_str());
                push_raw(out, "usage", &usage);
                out.push('}');
            }
        }
    }

    /// Writes that the answer ends before its time, where a client can be told so: it must not be taken for whole.
    pub fn broken(shape: Shape, why: &str, out: &mut String) {
        let error = error_body(why, "upstream_error", "", "upstream_broke_off");
        match shape {
            Shape::Events { .. } => {
                out.push_str("data: ");
                out.push_str(&error);
                out.push_str("\n\n");
            }
            Shape::Lines => {
                out.push('{');
                push_text(out, "error", why);
                out.push_str("}\n");
            }
            Shape::Whole | Shape::Plain => {}
        }
    }

    fn push_head(&self, out: &mut String, before: &str, object: &str) {
        out.push_str(before);
        push_text(out, "id", &format!("chatcmpl-{}-{}", self.at.0, self.number));
        push_text(out, "object", object);
        push_raw(out, "created", &self.at.0.div_euclid(1_000).to_string());
        push_text(out, "model", &self.model);
    }

    fn push_text_chunk(&mut self, text: &str, out: &mut String) {
        let mut delta = String::new();
        delta.push_str("\"content\":");
        push_json_string(&mut delta, text);
        self.push_chunk(&delta, None, out);
    }

    fn push_chunk(&mut self, delta: &str, finish: Option<Finish>, out: &mut String) {
        self.push_head(out, "data: {", "chat.completion.chunk");
        out.push_str(",\"choices\":[{\"index\":0,\"delta\":{");
        if !self.is_begun {
            out.push_str("\"role\":\"assistant\"");
            out.push_str(if delta.is_empty() { "" } else { "," });
        }
        self.is_begun = true;
        out.push_str(delta);
        out.push_str("},\"finish_reason\":");
        match finish {
            Some(finish) => push_json_string(out, finish.as_str()),
            None => out.push_str("null"),
        }
        out.push_str("}]}\n\n");
    }

    /// Up to the quote before the text.
    fn begin_whole(&mut self, out: &mut String) {
        if std::mem::replace(&mut self.is_begun, true) {
            return;
        }
        if self.shape == Shape::Plain {
            out.push('{');
            push_text(out, "model", &self.model);
            push_text(out, "created_at", &format_rfc3339(self.at));
            return out.push_str(",\"response\":\"");
        }
        self.push_head(out, "{", "chat.completion");
        out.push_str(",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"");
    }

    fn remember(&mut self, text: &str) {
        let room = MESSAGE_BYTES_MAX - self.text.len();
        self.text.push_str(if self.is_text_cut { "" } else { cut(text, room) });
        self.is_text_cut |= text.len() > room;
    }

    fn push_line(&mut self, text: &str, calls: &str, out: &mut String) {
        self.line_head(text, calls, false, out);
        out.push_str("}\n");
    }

    /// Without the closing brace.
    fn line_head(&mut self, text: &str, calls: &str, is_done: bool, out: &mut String) {
        self.is_begun = true;
        out.push('{');
        push_text(out, "model", &self.model);
        push_text(out, "created_at", &format_rfc3339(self.at));
        out.push_str(",\"message\":{\"role\":\"assistant\"");
        push_text(out, "content", text);
        if !calls.is_empty() {
            push_raw(out, "tool_calls", calls);
        }
        out.push('}');
        push_raw(out, "done", if is_done { "true" } else { "false" });
    }
}

/// The content of a JSON string, without its quotes.
fn push_escaped(out: &mut String, text: &str) {
    let mut quoted = String::with_capacity(text.len() + 2);
    push_json_string(&mut quoted, text);
    out.push_str(&quoted[1..quoted.len() - 1]);
}
