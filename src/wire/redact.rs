//! JSON without its secrets, for the log: a member whose name says that it is one, and a text that looks like one, at any
//! depth.

use super::json::{Json, Kind};
use super::words::cut;
use crate::agent::event::push_json_string;

/// What stands for a secret.
pub const MASK: &str = "***";
/// Words of which one within a name, in lower case and without `-`, `_` and spaces, makes its value a secret.
const NAMES: &[&str] =
    &["token", "secret", "key", "passw", "passphrase", "credential", "authorization", "cookie", "signature"];
/// How texts begin that are secrets wherever they stand: keys of models, of webhooks and of this agent, JWTs.
const BEGINNINGS: &[&str] = &["sk-", "whsec_", "cb_", "eyJ", "ghp_", "xoxb-"];
/// Shortest text that is taken for a secret by its beginning, in bytes.
const SECRET_BYTES_MIN: usize = 16;

/// The object or value as JSON, its secrets replaced by [`MASK`]. What does not fit into `bytes_max` is left out: texts are
/// cut, and members and items beyond are dropped.
#[must_use]
pub fn redacted(json: Json<'_>, bytes_max: usize) -> String {
    let mut out = String::new();
    push(&mut out, json, bytes_max);
    out
}

fn push(out: &mut String, json: Json<'_>, bytes_max: usize) {
    match json.kind() {
        Kind::Object => {
            out.push('{');
            for (name, value) in json.fields() {
                if out.len() + name.len() >= bytes_max {
                    break;
                }
                if !out.ends_with('{') {
                    out.push(',');
                }
                push_json_string(out, &name);
                out.push(':');
                if is_secret_name(&name) {
                    push_json_string(out, MASK);
                } else {
                    push(out, value, bytes_max);
                }
            }
            out.push('}');
        }
        Kind::List => {
            out.push('[');
            for (index, value) in json.items().enumerate() {
                if out.len() >= bytes_max {
                    break;
                }
                if index > 0 {
                    out.push(',');
                }
                push(out, value, bytes_max);
            }
            out.push(']');
        }
        Kind::Text => {
            let text = json.text().unwrap_or_default();
            let room = bytes_max.saturating_sub(out.len());
            push_json_string(out, cut(&without_secrets(&text), room));
        }
        Kind::Null | Kind::Bool | Kind::Number => out.push_str(json.raw().trim()),
    }
}

/// Whether a value under this name is a secret, whatever it is.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| !matches!(c, '-' | '_' | ' ')).map(|c| c.to_ascii_lowercase()).collect();
    NAMES.iter().any(|word| plain.contains(word))
}

/// The text, each word of it that looks like a secret replaced.
fn without_secrets(text: &str) -> String {
    let mut was_bearer = false;
    let mut out = String::with_capacity(text.len());
    for piece in text.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let looks_so =
            core.len() >= SECRET_BYTES_MIN && BEGINNINGS.iter().any(|start| core.starts_with(start));
        if !word.is_empty() && (was_bearer || looks_so) {
            out.push_str(MASK);
            out.push_str(&piece[word.len()..]);
        } else {
            out.push_str(piece);
        }
        if !word.is_empty() {
            was_bearer = core.eq_ignore_ascii_case("bearer");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redact(text: &str) -> String {
        redacted(Json::parse(text.as_bytes()).expect("JSON"), 1_000)
    }

    #[test]
    fn a_name_of_a_secret_is_known_however_it_is_written() {
        for name in [
            "password",
            "Pass-Word",
            "pass_phrase",
            "API Key",
            "private_key",
            "x-authorization",
            "Set-Cookie",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["status", "message", "user_id", "passed"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn a_secret_is_found_at_any_depth_by_its_name() {
        let told = redact(
            r#"{"a":[{"b":{"API-Key":"k1","client_secret":{"x":"k2"},"n":1}}],"accessToken":["k3"],"Cookie":7,"on":true}"#,
        );
        assert_eq!(
            told,
            r#"{"a":[{"b":{"API-Key":"***","client_secret":"***","n":1}}],"accessToken":"***","Cookie":"***","on":true}"#
        );
    }

    #[test]
    fn a_secret_is_found_by_its_look() {
        for (text, told) in [
            (r#"["Authorization: Bearer abc", "x"]"#, r#"["Authorization: Bearer ***","x"]"#),
            (r#"["use sk-0123456789abcdef now"]"#, r#"["use *** now"]"#),
            (r#"["eyJhbGciOiJIUzI1NiJ9.e30.abc"]"#, r#"["***"]"#),
            (r#"["\"whsec_0123456789abcdef\""]"#, r#"["***"]"#),
            (r#"["sk-short"]"#, r#"["sk-short"]"#),
        ] {
            assert_eq!(redact(text), told, "{text}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_stays_json() {
        let long = format!(r#"{{"a":"{}","b":[{}1],"c":2}}"#, "é".repeat(50), "1,".repeat(80));
        for max in 0..200 {
            let told = redacted(Json::parse(long.as_bytes()).expect("JSON"), max);
            assert!(Json::parse(told.as_bytes()).is_ok(), "{told}");
            assert!(told.len() <= max + 16, "{max}: {told}");
        }
    }
}
