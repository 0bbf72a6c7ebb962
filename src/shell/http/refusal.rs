//! Answers that the port gives by itself, as `application/problem+json` (RFC 9457).

use miniserde::json;

use super::service::{Answer, AnswerBody};
use crate::agent::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};

/// Media type of a problem.
pub(super) const PROBLEM: &str = "application/problem+json";

/// What is said to a connection that finds no seat; written once, without waiting.
pub(super) const NO_SEAT: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\n\
content-length: 0\r\n\r\n";

/// Why the port does not pass a request on; its connection ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The head may be read in two ways, or in none.
    Doubt(&'static str),
    /// The head is longer or has more fields than is allowed.
    HeadTooLarge,
    /// The body is longer than is allowed.
    BodyTooLarge,
    /// The body did not arrive in time.
    BodyLate,
    /// The body did not arrive as announced.
    BodyBroken,
    /// Other bodies fill the memory set aside for them.
    BodiesFull,
    /// Other requests were under way for too long.
    Busy,
    /// This is not a proxy.
    Connect,
    /// The port speaks TLS only with other machines, and this one does not.
    NoTls,
}

// The texts below name these.
const _: () = assert!(BODY_BYTES_MAX == 65_536 && HEAD_BYTES_MAX == 8_192 && HEADERS_MAX == 64);

impl Refusal {
    pub(super) fn status(self) -> u16 {
        match self {
            Refusal::Doubt(_) | Refusal::BodyBroken | Refusal::NoTls => 400,
            Refusal::Connect => 405,
            Refusal::BodyLate => 408,
            Refusal::BodyTooLarge => 413,
            Refusal::HeadTooLarge => 431,
            Refusal::BodiesFull | Refusal::Busy => 503,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Refusal::Doubt(_) | Refusal::BodyBroken | Refusal::NoTls => "Bad Request",
            Refusal::Connect => "Method Not Allowed",
            Refusal::BodyLate => "Request Timeout",
            Refusal::BodyTooLarge => "Content Too Large",
            Refusal::HeadTooLarge => "Request Header Fields Too Large",
            Refusal::BodiesFull | Refusal::Busy => "Service Unavailable",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Refusal::Doubt(reason) => reason,
            Refusal::BodyBroken => "the body does not end as its head announces",
            Refusal::NoTls => "this port speaks TLS: use https or wss",
            Refusal::Connect => "this server is not a proxy",
            Refusal::BodyLate => "the body took too long to arrive",
            Refusal::BodyTooLarge => "the body of a request may have at most 65536 bytes",
            Refusal::HeadTooLarge => "the head of a request may have at most 8192 bytes and 64 fields",
            Refusal::BodiesFull => "too many large requests at once, try again",
            Refusal::Busy => "too many requests at once, try again",
        }
    }

    fn body(self) -> String {
        format!(
            r#"{{"type":"about:blank","title":"{}","status":{},"detail":{}}}"#,
            self.title(),
            self.status(),
            json::to_string(self.detail())
        )
    }

    /// The whole answer as it goes over the wire, for a head that hyper does not get to see.
    pub(super) fn to_wire(self) -> Vec<u8> {
        let body = self.body();
        let more = match self {
            Refusal::Busy => "retry-after: 5\r\n",
            Refusal::BodiesFull => "retry-after: 1\r\n",
            _ => "",
        };
        format!(
            "HTTP/1.1 {} {}\r\ncontent-type: {PROBLEM}\r\ncontent-length: {}\r\n{more}connection: close\r\n\r\n{body}",
            self.status(),
            self.title(),
            body.len()
        )
        .into_bytes()
    }

    /// The answer for a request whose head hyper has seen.
    pub(super) fn to_answer(self) -> Answer {
        let headers = match self {
            Refusal::BodiesFull => vec![("retry-after", "1".to_owned())],
            Refusal::Connect => vec![("allow", "GET, HEAD, POST, PUT, PATCH, DELETE".to_owned())],
            _ => Vec::new(),
        };
        let body = AnswerBody::Bytes(self.body().into_bytes());
        Answer { status: self.status(), headers, content_type: PROBLEM, body, close: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_on_the_wire_announces_its_length_and_quotes_its_reason() {
        let wire = String::from_utf8(Refusal::Doubt(r#"a "quoted" reason"#).to_wire()).unwrap();
        let (head, body) = wire.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 400 Bad Request\r\n") && head.ends_with("connection: close"));
        assert!(head.contains(&format!("content-length: {}", body.len())));
        assert!(body.ends_with(r#""status":400,"detail":"a \"quoted\" reason"}"#), "{body}");
    }
}
