//! The answer to a connect: three shapes, one `ControllerAnswer`.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::fact::controller_to_fact;
use super::servers::servers;
use super::settings::normalised;
use crate::agent::brain::setup::McpSetup;
use crate::agent::input::{AiwmReply, ControllerAnswer, Fault, Generation};
use crate::agent::limits::{INSTRUCTION_BYTES_MAX, TOOLS_MAX};
use crate::agent::setup::Secret;
use crate::wire::HttpReply;
use crate::wire::json::{Json, Kind};
use crate::wire::words::{cut, one_line};
use crate::wire::{mcp, tools};

/// Longest token in bytes. Generation a puts a whole owner record into it. Beyond: garbage.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest name of a tool or an agent in bytes. Beyond: cut.
pub(super) const NAME_BYTES_MAX: usize = 128;
/// What stands in for an instruction that is not there.
const PLACEHOLDERS: [&str; 3] = [
    "No instruction configured for this agent.",
    "Instruction not found.",
    "Instruction is currently inactive.",
];

/// A 2xx to a connect; without a usable token it is garbage.
pub(super) fn decode(reply: &HttpReply) -> AiwmReply {
    let garbage = AiwmReply::Failed { fault: Fault::Garbage, after_ms: None };
    let Ok(json) = Json::parse(&reply.body) else { return garbage };
    let Some(token) = token(json) else { return garbage };
    let servers = servers(json);
    let answer = ControllerAnswer {
        generation: generation(json),
        instruction: instruction(json),
        tools: tools_in(json).map(|tools| with_servers(tools, &servers)),
        settings: json.some("settings").map(normalised).unwrap_or_default(),
        name: name(json),
        servers,
    };
    AiwmReply::Connected {
        expires_in_s: expires_in_s(json, &token),
        token: Secret(token),
        fact: controller_to_fact(&answer),
        answer: Box::new(answer),
    }
}

/// The JWT under either name. It goes into a header, so it may hold visible ASCII only.
fn token(json: Json<'_>) -> Option<String> {
    let token = ["accessToken", "token"].into_iter().find_map(|name| json.some(name)?.text())?;
    let is_good = (1..=TOKEN_BYTES_MAX).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_graphic());
    is_good.then(|| token.into_owned())
}

/// Generation a, and the day between it and b, have a text as instruction; c has what b took away.
fn generation(json: Json<'_>) -> Generation {
    let has_text = json.some("instruction").is_some_and(|instruction| instruction.kind() == Kind::Text);
    if has_text || json.some("accessToken").is_none() {
        return Generation::A;
    }
    let is_c =
        ["tools", "allowedFunctions", "framework", "name"].iter().any(|name| json.some(name).is_some());
    if is_c { Generation::C } else { Generation::B }
}

/// The instruction as one text, whatever its shape, without what differs at every connect.
fn instruction(json: Json<'_>) -> String {
    let Some(value) = json.some("instruction") else { return String::new() };
    let prompt = value.text().or_else(|| value.some("systemPrompt")?.text()).unwrap_or_default();
    let mut text = without_wrapping(&prompt);
    if PLACEHOLDERS.contains(&text.as_str()) {
        text.clear();
    }
    push_guidelines(&mut text, value);
    cut(&text, INSTRUCTION_BYTES_MAX).to_owned()
}

/// Appends `guidelines` as generation a writes them into its text.
fn push_guidelines(text: &mut String, value: Json<'_>) {
    let guidelines = value.some("guidelines").into_iter().flat_map(Json::items).filter_map(Json::text);
    for (index, guideline) in guidelines.enumerate() {
        if index == 0 {
            text.push_str("\n\n## Guidelines");
        }
        text.push_str(&format!("\n{}. {guideline}", index + 1));
    }
    if text.starts_with("\n\n") {
        text.drain(..2);
    }
}

/// Generation c wraps the prompt: `<system>...</system>`, a rule, and a `<runtime>` block with the date. Equal
/// instructions must compare equal, so only what is inside `<system>` stays.
fn without_wrapping(prompt: &str) -> String {
    let text = prompt.trim();
    let Some(start) = text.rfind("<runtime>") else { return text.to_owned() };
    let (before, block) = text.split_at(start);
    let Some(end) = block.find("</runtime>").filter(|end| block[..*end].contains("Datetime:")) else {
        return text.to_owned();
    };
    let before = before.trim_end();
    let before = before.strip_suffix("---").unwrap_or(before).trim_end();
    let after = block[end + "</runtime>".len()..].trim_start();
    let inner = before.strip_prefix("<system>").and_then(|inner| inner.strip_suffix("</system>"));
    let before = inner.unwrap_or(before).trim();
    if after.is_empty() { before.to_owned() } else { format!("{before}\n\n{after}") }
}

/// Names only: the entries are whole database records. `None` if the answer does not speak of tools (generation b).
fn tools_in(json: Json<'_>) -> Option<Vec<String>> {
    let list = json.some("tools").filter(|tools| tools.kind() == Kind::List)?;
    let name = |tool: Json<'_>| {
        let name = tool.text().or_else(|| tool.some("name")?.text())?;
        Some(one_line(&name, NAME_BYTES_MAX)).filter(|name| !name.is_empty())
    };
    Some(list.items().filter_map(name).take(TOOLS_MAX).collect())
}

/// A name that is none of ours is that of a tool at one of the controller's servers, which the model knows by another.
fn with_servers(mut names: Vec<String>, servers: &[McpSetup]) -> Vec<String> {
    let theirs: Vec<String> = names.iter().filter(|name| tools::find(name).is_none()).cloned().collect();
    for server in servers {
        names.extend(theirs.iter().map(|name| mcp::name_of(&server.name, name)));
    }
    names.truncate(TOOLS_MAX);
    names
}

fn name(json: Json<'_>) -> Option<String> {
    let name = json.some("name").or_else(|| json.some("agent")?.some("name"))?.text()?;
    Some(one_line(&name, NAME_BYTES_MAX)).filter(|name| !name.is_empty())
}

/// `expiresIn`, else the token's own `exp` less its `iat`: both are the server's clock, ours is not asked.
fn expires_in_s(json: Json<'_>, token: &str) -> Option<u64> {
    let said = json.some("expiresIn").and_then(Json::u64).filter(|s| *s > 0);
    said.or_else(|| jwt_lifetime_s(token))
}

/// Seconds from `iat` to `exp` of a JWT. The signature cannot be checked here and nothing else is believed.
fn jwt_lifetime_s(token: &str) -> Option<u64> {
    let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let claims = GeneralPurpose::new(&URL_SAFE, config).decode(token.split('.').nth(1)?).ok()?;
    let claims = Json::parse(&claims).ok()?;
    let at = |name: &str| claims.some(name).and_then(Json::f64).filter(|s| (0.0..1e12).contains(s));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // 1 to 1e12
    Some(at("exp")? - at("iat")?).filter(|s| *s >= 1.0).map(|s| s as u64)
}
