//! What the providers' answers have in common: pieces, how they add up to a reply, and what a status means.

use super::HttpReply;
use super::json::Json;
use super::reply;
use super::words::{cut, one_line};
use crate::agent::brain::speech::{Reply, ThoughtFault, ToolCall};
use crate::agent::input::Fault;
use crate::agent::limits::{MESSAGE_BYTES_MAX, TOOL_ARGUMENTS_BYTES_MAX, TOOL_CALLS_MAX};

/// Bytes of text that make about one token.
const TOKEN_BYTES: u64 = 4;
/// Longest name of a model, a tool or a call that is kept, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 64;
/// Most bytes of a provider's words.
const WHY_BYTES_MAX: usize = 200;

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delta {
    /// More of the text.
    Text(String),
    /// More of a call of a tool; the first piece of each has its id and name.
    Call {
        /// Which of the answer's calls.
        index: usize,
        /// The model's name for it; may be empty.
        id: String,
        /// The tool; may be empty.
        name: String,
        /// More of the arguments.
        arguments: String,
    },
    /// Something that says that the model is at work and is neither: its reasoning.
    Other,
    /// Why the model is done.
    Finish(Finish),
    /// The model's name.
    Model(String),
    /// Tokens as the provider counts.
    Usage {
        /// Of the question.
        tokens_in: u32,
        /// Of the answer.
        tokens_out: u32,
    },
    /// The provider says that it cannot go on.
    Failed(ThoughtFault),
    /// The provider says that this was all.
    Done,
}

impl Delta {
    /// Whether it is, or ends, an answer: from here on nobody else can answer.
    #[must_use]
    pub fn is_content(&self) -> bool {
        match self {
            Self::Text(text) => !text.is_empty(),
            Self::Call { .. } | Self::Other | Self::Finish(_) => true,
            _ => false,
        }
    }
}

/// Why a model is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It said all.
    Stop,
    /// The token limit.
    Length,
    /// It calls tools.
    ToolCalls,
    /// Its words were held back.
    Filtered,
}

impl Finish {
    /// OpenAI's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::Filtered => "content_filter",
        }
    }

    /// Reads the words of OpenAI and Ollama; an unknown one is an end like any other.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "length" => Self::Length,
            "tool_calls" | "function_call" => Self::ToolCalls,
            "content_filter" => Self::Filtered,
            _ => Self::Stop,
        }
    }
}

/// About how many tokens so many bytes are.
#[must_use]
pub fn tokens_of(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(TOKEN_BYTES)).unwrap_or(u32::MAX)
}

/// Adds the pieces of an answer up.
#[derive(Debug, Default)]
pub struct Gather {
    keeps_text: bool,
    keeps_calls: bool,
    text: String,
    bytes_out: u64,
    calls: Vec<ToolCall>,
    usage: Option<(u32, u32)>,
    model: String,
    finish: Option<Finish>,
    is_done: bool,
}

impl Gather {
    /// Whether the text is wanted and whether the calls are, or only their size.
    #[must_use]
    pub fn new(keeps_text: bool, keeps_calls: bool) -> Self {
        Self { keeps_text, keeps_calls, ..Self::default() }
    }

    /// Takes a piece in.
    pub fn take(&mut self, delta: &Delta) {
        match delta {
            Delta::Text(text) => {
                self.bytes_out += text.len() as u64;
                if self.keeps_text {
                    let room = MESSAGE_BYTES_MAX - self.text.len();
                    self.text.push_str(cut(text, room));
                }
            }
            Delta::Call { index, id, name, arguments } => {
                self.bytes_out += (name.len() + arguments.len()) as u64;
                if self.keeps_calls {
                    self.take_call(*index, id, name, arguments);
                }
            }
            Delta::Finish(finish) => self.finish = Some(*finish),
            Delta::Model(model) if self.model.is_empty() => {
                self.model = cut(model, NAME_BYTES_MAX).to_owned()
            }
            Delta::Usage { tokens_in, tokens_out } => self.usage = Some((*tokens_in, *tokens_out)),
            Delta::Done => self.is_done = true,
            Delta::Model(_) | Delta::Other | Delta::Failed(_) => {}
        }
    }

    /// Whether the provider said in any way that the answer is whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.is_done || self.finish.is_some()
    }

    /// Why the model was done, as far as it said.
    #[must_use]
    pub fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// The answer as far as it came. `bytes_in`: of the question, for a provider that does not count.
    #[must_use]
    pub fn reply(&self, bytes_in: u64) -> Reply {
        let (tokens_in, tokens_out) =
            self.usage.unwrap_or_else(|| (tokens_of(bytes_in), tokens_of(self.bytes_out)));
        Reply {
            text: self.text.clone(),
            calls: self.calls.clone(),
            tokens_in,
            tokens_out,
            model: self.model.clone(),
        }
    }

    /// Arguments that are too long lose their end, so that they are no JSON any more and the call is not run.
    fn take_call(&mut self, index: usize, id: &str, name: &str, arguments: &str) {
        if index >= TOOL_CALLS_MAX {
            return;
        }
        while self.calls.len() <= index {
            let id = format!("call_{}", self.calls.len());
            self.calls.push(ToolCall {
                id,
                name: String::new(),
                arguments: String::new(),
                subject: String::new(),
            });
        }
        let call = &mut self.calls[index];
        if !id.is_empty() && id.len() <= NAME_BYTES_MAX {
            id.clone_into(&mut call.id);
        }
        let room = NAME_BYTES_MAX - call.name.len();
        call.name.push_str(cut(name, room));
        let room = TOOL_ARGUMENTS_BYTES_MAX - call.arguments.len();
        call.arguments.push_str(cut(arguments, room));
    }
}

/// What an answer with another status than 2xx means.
#[must_use]
pub fn fault_of(reply: &HttpReply) -> ThoughtFault {
    let why = reply::why(reply);
    let code = Json::parse(&reply.body).ok().and_then(|body| code_of(body.get("error")?));
    fault_of_status(reply.status, code.as_deref().unwrap_or(""), why, reply::retry_after_ms(reply))
}

/// What an error object within an answer of status 200 means: its `code` or `type` may be a status, or one of OpenAI's words.
#[must_use]
pub fn fault_of_error(error: Json<'_>) -> ThoughtFault {
    let words = error.text().or_else(|| error.some("message")?.text()).unwrap_or_default();
    let why = one_line(&words, WHY_BYTES_MAX);
    let number = error.some("code").or_else(|| error.some("status"));
    let code = code_of(error).unwrap_or_default();
    let status = number.and_then(Json::u64).or_else(|| code.parse().ok());
    let status =
        status.and_then(|status| u16::try_from(status).ok()).filter(|status| (400..600).contains(status));
    fault_of_status(status.unwrap_or_else(|| status_of(&code)), &code, why, None)
}

fn fault_of_status(status: u16, code: &str, why: String, after_ms: Option<u64>) -> ThoughtFault {
    let is_spent = matches!(code, "insufficient_quota" | "billing_hard_limit_reached");
    match status {
        429 if is_spent => ThoughtFault::Provider { status, why },
        408 | 409 | 425 | 429 | 500.. => ThoughtFault::Retry { fault: Fault::Status(status), after_ms },
        400 if code == "model_not_found" => ThoughtFault::Provider { status, why },
        400 | 413 | 422 => ThoughtFault::Question { status, why },
        _ => ThoughtFault::Provider { status, why },
    }
}

/// The status that OpenAI answers with these words.
fn status_of(code: &str) -> u16 {
    match code {
        "insufficient_quota" | "rate_limit_exceeded" | "rate_limit_error" => 429,
        "invalid_api_key" | "authentication_error" => 401,
        "permission_error" => 403,
        "model_not_found" | "not_found_error" => 404,
        "invalid_request_error" | "context_length_exceeded" | "content_filter" => 400,
        _ => 500,
    }
}

fn code_of(error: Json<'_>) -> Option<String> {
    let word = |name| error.some(name).and_then(Json::text).filter(|text| !text.is_empty());
    Some(cut(&word("code").or_else(|| word("type"))?, NAME_BYTES_MAX).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> HttpReply {
        let retry_after = Some("7".to_owned());
        HttpReply { status, retry_after, body: body.as_bytes().to_vec(), ..HttpReply::default() }
    }

    #[test]
    fn a_status_tells_whether_to_try_again_elsewhere_or_not_at_all() {
        let quota =
            r#"{"error":{"message":"no money","type":"insufficient_quota","code":"insufficient_quota"}}"#;
        for (status, body, want) in [
            (429, "", "retry 7000"),
            (429, quota, "provider no money"),
            (500, "", "retry 7000"),
            (503, "<html>", "retry 7000"),
            (408, "", "retry 7000"),
            (409, "", "retry 7000"),
            (401, r#"{"error":{"message":"bad key","code":"invalid_api_key"}}"#, "provider bad key"),
            (402, "", "provider "),
            (403, r#"{"detail":"no"}"#, "provider no"),
            (404, r#"{"error":"model 'x' not found"}"#, "provider model 'x' not found"),
            (302, "", "provider "),
            (400, r#"{"error":{"message":"too long"}}"#, "question too long"),
            (400, r#"{"error":{"message":"gone","code":"model_not_found"}}"#, "provider gone"),
            (413, "", "question "),
            (422, r#"{"detail":[{"msg":"Field required"}]}"#, "question Field required"),
        ] {
            let said = match fault_of(&reply(status, body)) {
                ThoughtFault::Retry { fault: Fault::Status(said), after_ms: Some(ms) } if said == status => {
                    format!("retry {ms}")
                }
                ThoughtFault::Provider { status: said, why } if said == status => format!("provider {why}"),
                ThoughtFault::Question { status: said, why } if said == status => format!("question {why}"),
                other => format!("{other:?}"),
            };
            assert_eq!(said, want, "{status} {body}");
        }
    }

    #[test]
    fn an_error_within_an_answer_is_told_by_its_code() {
        for (error, status, kind) in [
            (r#"{"message":"slow down","code":429}"#, 429, "retry"),
            (r#"{"message":"x","code":"rate_limit_exceeded"}"#, 429, "retry"),
            (r#"{"message":"x","type":"insufficient_quota","code":null}"#, 429, "provider"),
            (r#"{"message":"x","code":"401"}"#, 401, "provider"),
            (r#"{"message":"x","type":"invalid_request_error"}"#, 400, "question"),
            (r#"{"message":"x","type":"server_error"}"#, 500, "retry"),
            (r#""out of memory""#, 500, "retry"),
            (r#"{"code":99999}"#, 500, "retry"),
            ("[]", 500, "retry"),
        ] {
            let json = Json::parse(error.as_bytes()).expect("JSON");
            let found = match fault_of_error(json) {
                ThoughtFault::Retry { fault: Fault::Status(status), .. } => (status, "retry"),
                ThoughtFault::Provider { status, .. } => (status, "provider"),
                ThoughtFault::Question { status, .. } => (status, "question"),
                ThoughtFault::Retry { .. } => (0, "retry"),
            };
            assert_eq!(found, (status, kind), "{error}");
        }
    }

    #[test]
    fn pieces_add_up_to_a_reply_within_bounds() {
        let mut gather = Gather::new(true, true);
        for _ in 0..40 {
            gather.take(&Delta::Text("é".repeat(999)));
        }
        let call = |index: usize, id: &str, name: &str, arguments: &str| Delta::Call {
            index,
            id: id.to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        gather.take(&call(1, "abc", "list-", "{\"a\""));
        gather.take(&call(1, "", "dir", ":1}"));
        gather.take(&call(TOOL_CALLS_MAX, "x", "y", "z"));
        gather.take(&call(usize::MAX, &"i".repeat(99), &"n".repeat(99), "z"));
        for _ in 0..3 {
            gather.take(&call(0, &"i".repeat(65), "n", &"x".repeat(9_000)));
        }
        let reply = gather.reply(10);
        assert!(reply.text.len() <= MESSAGE_BYTES_MAX && reply.text.len() > MESSAGE_BYTES_MAX - 2);
        let calls: Vec<_> =
            reply.calls.iter().map(|call| (&*call.id, &*call.name, call.arguments.len())).collect();
        assert_eq!(calls, [("call_0", "nnn", TOOL_ARGUMENTS_BYTES_MAX), ("abc", "list-dir", 7)]);
        assert_eq!(reply.tokens_in, 3);
        assert!(reply.tokens_out > 20_000 && !gather.is_whole());
        gather.take(&Delta::Usage { tokens_in: 5, tokens_out: 6 });
        gather.take(&Delta::Finish(Finish::ToolCalls));
        assert_eq!(
            (gather.reply(10).tokens_in, gather.reply(10).tokens_out, gather.is_whole()),
            (5, 6, true)
        );
        let mut passed = Gather::new(false, false);
        passed.take(&Delta::Text("abcdefgh".to_owned()));
        assert_eq!((passed.reply(0).text, passed.reply(0).tokens_out), (String::new(), 2));
    }
}
