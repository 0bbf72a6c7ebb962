//! The controller's last good answer as the ledger keeps it: JSON, and never anything secret.

use super::connect::NAME_BYTES_MAX;
use super::settings::{VALUE_BYTES_MAX, is_key, is_secret_key};
use crate::agent::event::push_json_string;
use crate::agent::input::{ControllerAnswer, Generation, Setting};
use crate::agent::limits::{INSTRUCTION_BYTES_MAX, SETTINGS_MAX, TOOLS_MAX};
use crate::agent::setup::Secret;
use crate::wire::json::{Json, push_name, push_raw, push_text, push_texts};
use crate::wire::words::cut;

/// The text of `FactKey::Controller`. Secret settings and servers of tools, whose headers are secrets, are left out: they
/// come back with the next connect.
#[must_use]
pub fn controller_to_fact(answer: &ControllerAnswer) -> String {
    let mut out = String::with_capacity(256 + answer.instruction.len());
    out.push('{');
    push_text(&mut out, "generation", answer.generation.as_str());
    push_text(&mut out, "instruction", &answer.instruction);
    match &answer.tools {
        Some(tools) => push_texts(&mut out, "tools", tools),
        None => push_raw(&mut out, "tools", "null"),
    }
    push_raw(&mut out, "settings", "{");
    for setting in answer.settings.iter().filter(|setting| !setting.is_secret) {
        push_name(&mut out, &setting.key);
        push_json_string(&mut out, &setting.value.0);
    }
    out.push('}');
    match &answer.name {
        Some(name) => push_text(&mut out, "name", name),
        None => push_raw(&mut out, "name", "null"),
    }
    out.push('}');
    out
}

/// Reads what `controller_to_fact` writes; `None` for anything else.
#[must_use]
pub fn controller_from_fact(text: &str) -> Option<ControllerAnswer> {
    let json = Json::parse(text.as_bytes()).ok()?;
    let generation = json.some("generation")?.text()?;
    Some(ControllerAnswer {
        generation: [Generation::A, Generation::B, Generation::C]
            .into_iter()
            .find(|known| known.as_str() == generation)?,
        instruction: cut(&json.some("instruction")?.text()?, INSTRUCTION_BYTES_MAX).to_owned(),
        tools: json.some("tools").map(|tools| bounded_texts(tools)),
        settings: json.some("settings")?.fields().filter_map(setting).take(SETTINGS_MAX).collect(),
        name: json.some("name").and_then(|name| Some(cut(&name.text()?, NAME_BYTES_MAX).to_owned())),
        servers: Vec::new(),
    })
}

fn bounded_texts(list: Json<'_>) -> Vec<String> {
    list.items()
        .filter_map(|item| Some(cut(&item.text()?, NAME_BYTES_MAX).to_owned()))
        .take(TOOLS_MAX)
        .collect()
}

fn setting((key, value): (std::borrow::Cow<'_, str>, Json<'_>)) -> Option<Setting> {
    let value = value.text().filter(|value| value.len() <= VALUE_BYTES_MAX)?;
    let is_good = is_key(&key) && !is_secret_key(&key);
    is_good.then(|| Setting { key: key.into_owned(), value: Secret(value.into_owned()), is_secret: false })
}
