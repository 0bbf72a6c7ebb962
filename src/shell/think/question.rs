//! The requests that a question to a provider is, up to the head of its answer.

use std::borrow::Cow;

use super::{Around, retry};
use crate::agent::brain::setup::{BrainSetup, ProviderKind, ProviderSetup};
use crate::agent::brain::speech::{Message, Role, SessionPrompt, ThoughtFault};
use crate::agent::input::Fault;
use crate::agent::limits::SESSION_BYTES_MAX;
use crate::shell::client::{Client, ClientRequest, ClientResponse};
use crate::wire::json::Json;
use crate::wire::openai::{Prompted, Shape};
use crate::wire::words::mask;
use crate::wire::{AddressGuard, HttpReply, chat, maclink, ollama, openai};

/// Longest time to connect in milliseconds, however patient a provider's setup is.
const CONNECT_TIME_MAX_MS: u64 = 10_000;
/// Bytes of an answer that is no success that are read for its words, and of a list of models.
const WORDS_BYTES_MAX: usize = 16 * 1024;
/// What OpenAI's own base URL begins with.
const OPENAI_HOST: &str = "https://api.openai.com/";

/// The body for a caller's own question. Providers of OpenAI's kind stream only if the caller's answer is read as a stream.
pub(super) fn of_caller(provider: &ProviderSetup, body: &[u8], shape: Shape, model: &str) -> String {
    let json = || Json::parse(body).ok();
    match provider.kind {
        ProviderKind::OpenAi | ProviderKind::AlexOs => openai::rewrite(body, model, shape != Shape::Whole),
        ProviderKind::Ollama => json().map_or_else(String::new, |json| ollama::from_question(json, model)),
        ProviderKind::MacLink => json().map_or_else(String::new, |json| maclink::from_question(json, model)),
    }
}

/// The body for a conversation's next question; `None` if its messages cannot be read just now.
pub(super) fn of_session(
    around: &dyn Around,
    brain: &BrainSetup,
    provider: &ProviderSetup,
    prompt: &SessionPrompt,
    model: &str,
) -> Option<String> {
    let messages = messages_of(around, prompt)?;
    let tools = if prompt.tools.is_empty() { String::new() } else { around.tools(&prompt.tools) };
    let prompted = Prompted {
        model,
        instruction: &prompt.instruction,
        messages: &messages,
        tools: &tools,
        max_tokens: brain.max_tokens,
        temperature_milli: brain.temperature_milli,
    };
    Some(match provider.kind {
        ProviderKind::OpenAi | ProviderKind::AlexOs => {
            openai::from_messages(&prompted, provider.base_url.starts_with(OPENAI_HOST))
        }
        ProviderKind::Ollama => ollama::from_messages(&prompted),
        ProviderKind::MacLink => maclink::from_messages(&prompted),
    })
}

/// The newest messages that fit. A result is not sent without the call that it answers: if nothing else fits, more is sent.
fn messages_of(around: &dyn Around, prompt: &SessionPrompt) -> Option<Vec<(u32, Message)>> {
    let mut bytes_max = (prompt.tokens_max as usize).saturating_mul(4);
    loop {
        let mut messages = around.messages(&prompt.session, prompt.from, prompt.upto, bytes_max)?;
        let results = messages.iter().take_while(|(_, message)| message.role == Role::Tool).count();
        if results < messages.len() || messages.is_empty() || bytes_max > 4 * SESSION_BYTES_MAX as usize {
            messages.drain(..results);
            return Some(messages);
        }
        bytes_max = bytes_max.saturating_mul(2).max(1_024);
    }
}

/// Asks the provider and waits for the head of an answer with a status of success.
pub(super) async fn ask(
    client: &Client,
    provider: &ProviderSetup,
    model: &str,
    body: String,
) -> Result<ClientResponse, ThoughtFault> {
    match provider.kind {
        ProviderKind::OpenAi | ProviderKind::AlexOs => {
            send(client, provider, openai::CHAT_PATH, Some(body)).await
        }
        ProviderKind::Ollama => send(client, provider, ollama::CHAT_PATH, Some(body)).await,
        ProviderKind::MacLink => {
            be_ready(client, provider, model).await?;
            send(client, provider, maclink::GENERATE_PATH, Some(body)).await
        }
    }
}

/// The model to ask for where the setup names none: a MacLink wants one.
pub(super) async fn model_of<'a>(
    client: &Client,
    provider: &ProviderSetup,
    model: &'a str,
) -> Result<Cow<'a, str>, ThoughtFault> {
    if provider.kind != ProviderKind::MacLink || !model.is_empty() {
        return Ok(Cow::Borrowed(model));
    }
    let response = send(client, provider, maclink::MODELS_PATH, None).await?;
    let list = words(response).await.map_err(retry)?;
    let why = || ThoughtFault::Provider { status: 404, why: "no model is ready".to_owned() };
    maclink::first_ready(&list.body).map(Cow::Owned).ok_or_else(why)
}

async fn be_ready(client: &Client, provider: &ProviderSetup, model: &str) -> Result<(), ThoughtFault> {
    let response = send(client, provider, &maclink::status_path(model), None).await?;
    let reply = words(response).await.map_err(retry)?;
    match maclink::ready(&reply.body) {
        Ok(()) => Ok(()),
        Err(status) if status.is_empty() => Err(retry(Fault::Garbage)),
        Err(status) => {
            log::debug!("model_not_ready provider={} model={model:?} status={status:?}", provider.name);
            Err(retry(Fault::Status(503)))
        }
    }
}

async fn send(
    client: &Client,
    provider: &ProviderSetup,
    path: &str,
    body: Option<String>,
) -> Result<ClientResponse, ThoughtFault> {
    let mut headers: Vec<(Cow<'static, str>, String)> = Vec::with_capacity(3);
    if body.is_some() {
        headers.push(("content-type".into(), "application/json".to_owned()));
    }
    if !provider.api_key.0.is_empty() {
        headers.push(("authorization".into(), format!("Bearer {}", provider.api_key.0)));
    }
    let request = ClientRequest {
        method: if body.is_some() { "POST" } else { "GET" },
        url: format!("{}{path}", provider.base_url),
        headers,
        body: body.unwrap_or_default().into_bytes(),
        guard: AddressGuard::Any,
        connect_ms: provider.timeout_ms.min(CONNECT_TIME_MAX_MS),
        silence_ms: provider.timeout_ms,
    };
    let response = client.send(request).await.map_err(retry)?;
    if (200..300).contains(&response.status) {
        return Ok(response);
    }
    // The status stands, whatever happens to the words.
    let (status, header) = (response.status, |name| response.header(name).map(str::to_owned));
    let (retry_after, date) = (header("retry-after"), header("date"));
    let mut reply = words(response).await.unwrap_or_default();
    mask(&mut reply.body, &provider.api_key.0);
    (reply.status, reply.retry_after, reply.date) = (status, retry_after, date);
    Err(chat::fault_of(&reply))
}

/// The beginning of an answer's body.
async fn words(mut response: ClientResponse) -> Result<HttpReply, Fault> {
    let mut body = Vec::new();
    while body.len() < WORDS_BYTES_MAX
        && let Some(piece) = response.next().await?
    {
        body.extend_from_slice(&piece[..piece.len().min(WORDS_BYTES_MAX - body.len())]);
    }
    Ok(HttpReply { status: response.status, body, ..HttpReply::default() })
}
