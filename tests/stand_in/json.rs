//! Short ways into parsed JSON.

pub use miniserde::json::{Number, Value};

pub fn parse(text: &str) -> Option<Value> {
    miniserde::json::from_str(text).ok()
}

/// The value at this path of keys.
pub fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Object(object) => object.get(*key),
        _ => None,
    })
}

pub fn str_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    match at(value, path) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

pub fn u64_at(value: &Value, path: &[&str]) -> Option<u64> {
    match at(value, path) {
        Some(Value::Number(Number::U64(number))) => Some(*number),
        _ => None,
    }
}

pub fn array_at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a [Value]> {
    match at(value, path) {
        Some(Value::Array(items)) => Some(items),
        _ => None,
    }
}

/// The text as a JSON string, quotes included.
pub fn quoted(text: &str) -> String {
    miniserde::json::to_string(text)
}
