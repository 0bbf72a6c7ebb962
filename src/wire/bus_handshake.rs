//! The opening handshake of a WebSocket client (RFC 6455, section 4): the request, and what a server's answer means.
//!
//! No extension and no sub-protocol is asked for, so a server that names one breaks the rules. Not here: the key and
//! its hash, which the shell has from tungstenite.

use super::USER_AGENT;
use super::target::{self, Target};

/// Longest head of an answer in bytes. Beyond: `Answer::Garbage`.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Splits a URL that the config has checked; `None` if it is none.
#[must_use]
pub fn target(url: &str) -> Option<Target<'_>> {
    target::split(url, ["ws", "wss"])
}

/// The request. `host_header` is sent as `Host` instead of the URL's, if not empty.
#[must_use]
pub fn request(target: &Target<'_>, host_header: &str, key: &str) -> String {
    let host = if host_header.is_empty() { target.authority } else { host_header };
    let slash = if target.path.starts_with('/') { "" } else { "/" };
    format!(
        "GET {slash}{} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nUser-Agent: {USER_AGENT}\r\n\r\n",
        target.path
    )
}

/// What a server answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 101, and all is as it must be. What follows the head, from this byte on, is frames.
    Switched(usize),
    /// Another status.
    Refused(u16),
    /// The head has not ended yet.
    Incomplete,
    /// No answer of a WebSocket server.
    Garbage,
}

/// Reads what came so far. `accept` is the hash that belongs to the key of the request.
#[must_use]
pub fn answer(bytes: &[u8], accept: &str) -> Answer {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        let is_http = bytes.iter().zip(b"HTTP/1.").all(|(a, b)| a == b);
        return if is_http && bytes.len() < HEAD_BYTES_MAX { Answer::Incomplete } else { Answer::Garbage };
    };
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = match lines.next().and_then(status_of) {
        None => return Answer::Garbage,
        Some(101) => 101,
        // What is informational besides is not for a handshake to wait on.
        Some(100..=199) => return Answer::Garbage,
        Some(status) => return Answer::Refused(status),
    };
    let value = |wanted: &str| {
        lines
            .clone()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(name, value)| name.trim_end().eq_ignore_ascii_case(wanted).then_some(value.trim()))
    };
    let upgrades = value("upgrade").is_some_and(|value| value.eq_ignore_ascii_case("websocket"));
    let connects = value("connection")
        .is_some_and(|value| value.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade")));
    let is_ours = value("sec-websocket-accept") == Some(accept);
    let extends = ["sec-websocket-extensions", "sec-websocket-protocol"]
        .iter()
        .any(|name| value(name).is_some_and(|value| !value.is_empty()));
    if status == 101 && upgrades && connects && is_ours && !extends {
        Answer::Switched(end + 4)
    } else {
        Answer::Garbage
    }
}

fn status_of(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    let digits = rest.split(' ').next()?;
    (digits.len() == 3).then(|| digits.parse().ok()).flatten().filter(|status| (100..=599).contains(status))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn good() -> String {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        )
    }

    #[test]
    fn urls_are_split_into_what_a_connection_needs() {
        let split = |url| target(url).map(|t| (t.is_secure, t.authority, t.host, t.port, t.path));
        assert_eq!(split("ws://a/ws/events"), Some((false, "a", "a", 80, "/ws/events")));
        assert_eq!(split("WSS://u:p@a.b:9?x=1#f"), Some((true, "a.b:9", "a.b", 9, "?x=1")));
        assert_eq!(split("ws://[::1]:8000/ws"), Some((false, "[::1]:8000", "[::1]", 8000, "/ws")));
        assert_eq!(split("wss://[::1]"), Some((true, "[::1]", "[::1]", 443, "")));
        for bad in [
            "",
            "ws:",
            "ws://",
            "ws://:80/",
            "http://a",
            "ws://a:99999/",
            "ws://a:x/",
            "ws://a/b c",
            "ws://a\r\n/",
        ] {
            assert_eq!(split(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_request_names_host_path_and_key() {
        let at = |url, host| request(&target(url).expect("a url"), host, "KEY");
        let text = at("ws://a:1/ws?x=1", "");
        assert!(text.starts_with("GET /ws?x=1 HTTP/1.1\r\nHost: a:1\r\n"), "{text}");
        assert!(text.contains("\r\nSec-WebSocket-Key: KEY\r\n") && text.ends_with("\r\n\r\n"));
        assert!(at("ws://a?x", "localhost").starts_with("GET /?x HTTP/1.1\r\nHost: localhost\r\n"));
    }

    #[test]
    fn a_good_answer_switches_and_tells_where_frames_begin() {
        let mut bytes = good().into_bytes();
        let end = bytes.len();
        bytes.extend_from_slice(&[0x81, 0]);
        assert_eq!(answer(&bytes, ACCEPT), Answer::Switched(end));
        for cut in 0..end {
            assert_eq!(answer(&bytes[..cut], ACCEPT), Answer::Incomplete, "{cut}");
        }
    }

    #[test]
    fn another_status_is_a_refusal() {
        for (line, status) in [
            ("HTTP/1.1 403 Forbidden", 403),
            ("HTTP/1.0 404", 404),
            ("HTTP/1.1 200 OK", 200),
            ("HTTP/1.1 302 Found", 302),
        ] {
            assert_eq!(answer(format!("{line}\r\n\r\n").as_bytes(), ACCEPT), Answer::Refused(status));
        }
    }

    #[test]
    fn everything_else_is_garbage() {
        let change = |from: &str, to: &str| {
            let text = good();
            assert!(text.contains(from), "{from}");
            text.replacen(from, to, 1)
        };
        for bad in [
            change("s3pP", "xxxx"),
            change("WebSocket", "h2c"),
            change("keep-alive, Upgrade", "keep-alive"),
            change("upgrade:", "Sec-WebSocket-Extensions: permessage-deflate\r\nupgrade:"),
            change("HTTP/1.1 101", "HTTP/2 101"),
            change("HTTP/1.1 101", "HTTP/1.1 100"),
            change("HTTP/1.1 101", "HTTP/1.1 1010"),
            change("HTTP/1.1 101", "HTTP/1.1 999"),
            "SSH-2.0-x\r\n".to_owned(),
            "\r\n\r\n".to_owned(),
            format!("HTTP/1.1 101 {}", "x".repeat(HEAD_BYTES_MAX)),
        ] {
            assert_eq!(answer(bad.as_bytes(), ACCEPT), Answer::Garbage, "{bad:.40}");
        }
        assert_eq!(answer(&[0xff; 100], ACCEPT), Answer::Garbage);
    }
}
