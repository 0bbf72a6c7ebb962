//! What all peers' answers have in common: `Retry-After`, the words of an error, what a status says.

use super::json::{Json, Kind};
use super::time::parse_http_date;
use super::words::one_line;
use super::{CallResult, HttpReply};
use crate::agent::input::{Fault, Verdict};

/// Most bytes of a peer's words.
pub(super) const WHY_BYTES_MAX: usize = 200;
/// Longest `Retry-After` that is believed, in milliseconds: a day. Beyond: a day.
const RETRY_AFTER_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// The `Retry-After` in milliseconds: seconds, or a date beside the answer's own `Date` (our clock is not asked).
pub(super) fn retry_after_ms(reply: &HttpReply) -> Option<u64> {
    let text = reply.retry_after.as_deref()?.trim();
    let ms = if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1_000)
    } else {
        let until = parse_http_date(text)?.0 - parse_http_date(reply.date.as_deref()?)?.0;
        u64::try_from(until.max(0)).ok()?
    };
    Some(ms.min(RETRY_AFTER_MAX_MS))
}

/// The words of an error answer on one line, at most `WHY_BYTES_MAX`: `detail`, the first of `errors`, `message`,
/// `error` or `title` of a JSON object, else the text itself; empty if it is binary or HTML.
pub(super) fn why(reply: &HttpReply) -> String {
    let start = &reply.body[..reply.body.len().min(4 * WHY_BYTES_MAX)];
    let words = match Json::parse(&reply.body) {
        Ok(json) if json.kind() == Kind::Object => said(json).unwrap_or_default(),
        Ok(_) => String::new(),
        Err(_) if start.trim_ascii_start().first().is_some_and(|b| b"<{[".contains(b)) => String::new(),
        Err(_) => match std::str::from_utf8(start) {
            Ok(text) => text.to_owned(),
            Err(fault) => String::from_utf8_lossy(&start[..fault.valid_up_to()]).into_owned(),
        },
    };
    one_line(&words, WHY_BYTES_MAX)
}

fn said(json: Json<'_>) -> Option<String> {
    let first_error = json.some("errors").and_then(|errors| errors.items().next());
    let detail = json.some("detail");
    [detail, first_error, json.some("message"), json.some("error"), json.some("title")]
        .into_iter()
        .flatten()
        .find_map(words_of)
}

/// A string, or the message inside an object or in the first of a list (FastAPI's validation errors).
fn words_of(value: Json<'_>) -> Option<String> {
    match value.kind() {
        Kind::Text => value.text().map(std::borrow::Cow::into_owned),
        Kind::Object => ["msg", "message", "detail"]
            .into_iter()
            .find_map(|name| Some(value.some(name)?.text()?.into_owned())),
        Kind::List => value.items().next().filter(|first| first.kind() != Kind::List).and_then(words_of),
        _ => None,
    }
}

/// Whether the text of an error says this.
pub(super) fn says(reply: &HttpReply, words: &str) -> bool {
    why(reply).contains(words)
}

/// A fault below HTTP is worth another try, whatever it is.
pub(super) fn retry(fault: Fault) -> Verdict {
    Verdict::Retry { fault, after_ms: None }
}

/// An answer of any status to be tried again, when the peer says so.
pub(super) fn retry_status(reply: &HttpReply) -> Verdict {
    Verdict::Retry { fault: Fault::Status(reply.status), after_ms: retry_after_ms(reply) }
}

/// An answer's body as JSON, if it is.
pub(super) fn json(result: &CallResult) -> Option<Json<'_>> {
    Json::parse(&result.as_ref().ok()?.body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &str) -> HttpReply {
        HttpReply { status: 400, body: body.as_bytes().to_vec(), ..HttpReply::default() }
    }

    #[test]
    fn retry_after_is_read_as_seconds_or_as_a_date_beside_the_answers_own() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        for (retry_after, date, want) in [
            (Some("120"), None, Some(120_000)),
            (Some(" 0 "), None, Some(0)),
            (Some("99999999999999999999999"), None, Some(RETRY_AFTER_MAX_MS)),
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), date, Some(60_000)),
            (Some("Sun, 06 Nov 1994 08:00:00 GMT"), date, Some(0)),
            (Some("Sun, 06 Nov 1994 08:50:37 GMT"), None, None),
            (Some("-1"), date, None),
            (Some("soon"), date, None),
            (Some(""), date, None),
            (None, date, None),
        ] {
            let reply = HttpReply {
                retry_after: retry_after.map(str::to_owned),
                date: date.map(str::to_owned),
                ..HttpReply::default()
            };
            assert_eq!(retry_after_ms(&reply), want, "{retry_after:?}");
        }
    }

    #[test]
    fn an_errors_words_are_found_in_each_peers_shape() {
        for (body, want) in [
            (r#"{"detail":"Not Found"}"#, "Not Found"),
            (r#"{"detail":[{"type":"missing","loc":["body"],"msg":"Field required"}]}"#, "Field required"),
            (
                r#"{"statusCode":400,"message":"Validation failed","errors":["status must be"]}"#,
                "status must be",
            ),
            (r#"{"message":"Invalid credentials","errors":[]}"#, "Invalid credentials"),
            (r#"{"error":{"message":"no"}}"#, "no"),
            (r#"{"title":"Bad","status":400}"#, "Bad"),
            ("Invalid host header", "Invalid host header"),
            ("a\nb\u{1b}c", "a b c"),
            ("<html>long</html>", ""),
            ("{broken", ""),
            ("[1]", ""),
            ("", ""),
        ] {
            assert_eq!(why(&reply(body)), want, "{body}");
        }
        assert_eq!(why(&HttpReply { body: b"ok\xff\xfe".to_vec(), ..HttpReply::default() }), "ok");
        assert!(why(&reply(&"é".repeat(500))).len() <= WHY_BYTES_MAX);
    }
}
