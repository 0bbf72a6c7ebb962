//! The peers as small state machines: they read the bytes of real requests and answer with real bytes.

pub mod aiwm;
pub mod alexos;
pub mod hooks;

use chainbot::wire::HttpRequest;
use miniserde::json::{self, Value};

/// What a peer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after_s: Option<u64>,
    /// The bytes.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer with JSON or any other text.
    pub fn text(status: u16, body: impl Into<String>) -> Self {
        Self { status, retry_after_s: None, body: body.into().into_bytes() }
    }
}

/// The path and query of a URL, from the first slash after the host.
pub fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.find('/').map_or("/", |at| &rest[at..])
}

/// The value of a header, by its lower-case name.
pub fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

/// The body, if it is a JSON object.
pub fn object(request: &HttpRequest) -> Option<json::Object> {
    match json::from_str(std::str::from_utf8(&request.body).ok()?).ok()? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

/// A string member of an object.
pub fn string<'a>(object: &'a json::Object, name: &str) -> Option<&'a str> {
    match object.get(name)? {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// `"post":17` anywhere in a body: which client's post an event came from.
pub fn find_post(body: &str) -> Option<u64> {
    let rest = &body[body.find("\"post\":")? + 7..];
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    rest[..digits].parse().ok()
}
