//! A strict look at a request head before anything else reads it: where it ends, and how long the body is.
//!
//! Two readers that disagree on where a request ends let one client speak for another. So this scanner takes only
//! heads that can be read in one way (RFC 9112, without what it merely tolerates) and calls everything else a doubt;
//! a doubt is answered 400 and the connection closed. Not here: routes, bodies, limits of bodies.

use crate::agent::limits::{HEAD_BYTES_MAX, HEADERS_MAX};

/// Longest method in bytes. Beyond: a doubt.
pub const METHOD_BYTES_MAX: usize = 16;
/// Largest `Content-Length`. Beyond: a doubt. 2^53, what every reader of numbers can hold.
pub const LENGTH_MAX: u64 = 1 << 53;

/// What the first bytes of a connection, or those after a request, are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    /// The head is not complete; so far there is nothing wrong with it.
    Partial,
    /// More than `limits::HEAD_BYTES_MAX` bytes or `limits::HEADERS_MAX` fields (431).
    TooLarge,
    /// Not a head that can be read in one way only (400), and why.
    Doubt(&'static str),
    /// A head.
    Head(Head),
}

/// What a head says of the bytes that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Bytes of the head, the empty line and a tolerated empty line before it included.
    pub len: usize,
    /// How the body ends.
    pub framing: Framing,
    /// `Expect: 100-continue` of an HTTP/1.1 client.
    pub expects_continue: bool,
    /// HTTP/1.0.
    pub is_http10: bool,
    /// Whether the client wants to send another request on this connection.
    pub keep_alive: bool,
    /// `Connection: upgrade`.
    pub wants_upgrade: bool,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After this many bytes, at most `LENGTH_MAX`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Looks at the bytes of a connection from the start of a request on.
#[must_use]
pub fn scan(bytes: &[u8]) -> Scan {
    match read(bytes) {
        Ok(head) => Scan::Head(head),
        Err(stop) => stop,
    }
}

fn read(bytes: &[u8]) -> Result<Head, Scan> {
    let mut lines = Lines {
        bytes: &bytes[..bytes.len().min(HEAD_BYTES_MAX)],
        at: 0,
        was_cut: bytes.len() >= HEAD_BYTES_MAX,
    };
    let mut first = lines.next()?;
    if first.is_empty() {
        first = lines.next()?; // RFC 9112 section 2.2: one empty line before a request is tolerated
    }
    let request = RequestLine::read(first)?;
    let mut fields = Fields::default();
    loop {
        let line = lines.next()?;
        if line.is_empty() {
            return fields.finish(&request, lines.at);
        }
        fields.take(line)?;
    }
}

fn doubt<T>(why: &'static str) -> Result<T, Scan> {
    Err(Scan::Doubt(why))
}

/// The lines of a head, each ended by CRLF.
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    was_cut: bool,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Result<&'a [u8], Scan> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        for (index, b) in rest.iter().enumerate() {
            match (b, rest.get(index + 1)) {
                (b'\r', Some(b'\n')) => {
                    self.at += index + 2;
                    return Ok(&rest[..index]);
                }
                (b'\r', None) => break,
                (b'\r', Some(_)) => return doubt("carriage return without line feed"),
                (b'\n', _) => return doubt("line feed without carriage return"),
                (b'\t', _) => {}
                (0..0x20 | 0x7f, _) => return doubt("control character in head"),
                _ => {}
            }
        }
        // A wrong first byte is told at once: a client that speaks TLS or another protocol waits for an answer.
        if self.at == 0 && rest.first().is_some_and(|b| !is_token(*b) && *b != b'\r') {
            return doubt("method is no token");
        }
        Err(if self.was_cut { Scan::TooLarge } else { Scan::Partial })
    }
}

struct RequestLine<'a> {
    is_http10: bool,
    /// The authority of an absolute-form target.
    authority: Option<&'a [u8]>,
}

impl<'a> RequestLine<'a> {
    fn read(line: &'a [u8]) -> Result<Self, Scan> {
        let mut parts = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return doubt("request line is not method, target and version with one space between");
        };
        if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.iter().copied().all(is_token) {
            return doubt("method is no token");
        }
        let is_http10 = match version {
            b"HTTP/1.1" => false,
            b"HTTP/1.0" => true,
            _ => return doubt("version is neither HTTP/1.1 nor HTTP/1.0"),
        };
        Ok(Self { is_http10, authority: authority(method, target)? })
    }
}

/// Checks a request target; its authority, if it has one.
fn authority<'a>(method: &[u8], target: &'a [u8]) -> Result<Option<&'a [u8]>, Scan> {
    if target == b"*" && method == b"OPTIONS" {
        return Ok(None);
    }
    let (authority, rest) = match target.get(..7) {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http://") => {
            let rest = &target[7..];
            let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
            (Some(&rest[..end]), &rest[end..])
        }
        _ if target.first() == Some(&b'/') => (None, target),
        _ => return doubt("target does not begin with a slash"),
    };
    let path_len = rest.iter().position(|b| *b == b'?').unwrap_or(rest.len());
    let (path, query) = rest.split_at(path_len);
    if !path.iter().copied().all(is_path) || !has_whole_escapes(path) {
        return doubt("illegal character in path");
    }
    if !query.iter().copied().all(is_query) {
        return doubt("illegal character in query");
    }
    Ok(authority)
}

/// What the fields seen so far say.
#[derive(Default)]
struct Fields<'a> {
    count: usize,
    host: Option<&'a [u8]>,
    length: Option<u64>,
    is_chunked: bool,
    expects_continue: bool,
    says_close: bool,
    says_keep_alive: bool,
    wants_upgrade: bool,
}

impl<'a> Fields<'a> {
    fn take(&mut self, line: &'a [u8]) -> Result<(), Scan> {
        self.count += 1;
        if self.count > HEADERS_MAX {
            return Err(Scan::TooLarge);
        }
        let Some(colon) = line.iter().position(|b| *b == b':') else { return doubt("field without colon") };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match name {
            [] => return doubt("field without name"),
            [b' ' | b'\t', ..] => return doubt("folded or indented field"),
            [.., b' ' | b'\t'] => return doubt("space before colon"),
            _ if !name.iter().copied().all(is_token) => return doubt("illegal character in field name"),
            _ => {}
        }
        self.take_field(name, value)
    }

    fn take_field(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Scan> {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("host") {
            if self.host.is_some() {
                return doubt("more than one Host");
            }
            if !is_host(value) {
                return doubt("Host is not a name and a port");
            }
            self.host = Some(value);
        } else if is("content-length") {
            if self.length.is_some() {
                return doubt("more than one Content-Length");
            }
            self.length = Some(length(value)?);
        } else if is("transfer-encoding") {
            if self.is_chunked {
                return doubt("more than one Transfer-Encoding");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return doubt("Transfer-Encoding is not chunked");
            }
            self.is_chunked = true;
        } else if is("expect") {
            self.expects_continue |= value.eq_ignore_ascii_case(b"100-continue");
        } else if is("connection") {
            for option in value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                self.says_close |= option.eq_ignore_ascii_case(b"close");
                self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                self.wants_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        }
        Ok(())
    }

    fn finish(&self, request: &RequestLine<'_>, len: usize) -> Result<Head, Scan> {
        if self.host.is_none() && !request.is_http10 {
            return doubt("no Host");
        }
        if request.authority.is_some_and(|given| !self.host.unwrap_or_default().eq_ignore_ascii_case(given)) {
            return doubt("target names another host than Host");
        }
        let framing = match (self.length, self.is_chunked) {
            (Some(_), true) => return doubt("both Content-Length and Transfer-Encoding"),
            (None, true) if request.is_http10 => return doubt("Transfer-Encoding in HTTP/1.0"),
            (None, true) => Framing::Chunked,
            (Some(length), false) => Framing::Length(length),
            (None, false) => Framing::None,
        };
        Ok(Head {
            len,
            framing,
            expects_continue: self.expects_continue && !request.is_http10,
            is_http10: request.is_http10,
            keep_alive: !self.says_close && (!request.is_http10 || self.says_keep_alive),
            wants_upgrade: self.wants_upgrade && !request.is_http10,
        })
    }
}

fn length(value: &[u8]) -> Result<u64, Scan> {
    let is_plain = (1..=16).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    let text = if is_plain { std::str::from_utf8(value).unwrap_or_default() } else { "" };
    match text.parse() {
        Ok(length) if length <= LENGTH_MAX => Ok(length),
        _ => doubt("Content-Length is no plain number up to 2^53"),
    }
}

/// `name`, `1.2.3.4` or `[::1]`, with or without `:port`.
fn is_host(value: &[u8]) -> bool {
    let (name_len, is_bracketed) = match value.first() {
        Some(b'[') => (value.iter().position(|b| *b == b']').map_or(0, |end| end + 1), true),
        _ => (value.iter().position(|b| *b == b':').unwrap_or(value.len()), false),
    };
    let (name, port) = value.split_at(name_len);
    let name_is_good = match is_bracketed {
        true => {
            name.len() > 3
                && name[1..name.len() - 1].iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        false => {
            !name.is_empty()
                && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    name_is_good && (port.is_empty() || is_port(port))
}

fn is_port(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b":").unwrap_or_default();
    (1..=5).contains(&digits.len())
        && digits.iter().all(u8::is_ascii_digit)
        && digits.iter().fold(0u32, |sum, b| sum * 10 + u32::from(b - b'0')) <= 65_535
}

/// RFC 9110 section 5.6.2.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// RFC 3986 section 3.3, without the escapes' digits.
fn is_path(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b)
}

/// What browsers leave unescaped in a query (the WHATWG URL standard's query set).
fn is_query(b: u8) -> bool {
    b.is_ascii_graphic() && !b"\"<>#".contains(&b)
}

fn has_whole_escapes(path: &[u8]) -> bool {
    let is_hex = |b: Option<&u8>| b.is_some_and(u8::is_ascii_hexdigit);
    path.iter()
        .enumerate()
        .all(|(at, b)| *b != b'%' || (is_hex(path.get(at + 1)) && is_hex(path.get(at + 2))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head {
        match scan(text.as_bytes()) {
            Scan::Head(head) => head,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    #[test]
    fn good_heads_say_how_the_body_ends() {
        use Framing::{Chunked, Length, None as NoBody};
        let table = [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", NoBody),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", NoBody),
            ("GET / HTTP/1.0\r\n\r\n", NoBody),
            ("GET / HTTP/1.0\r\nHost: a:1\r\n\r\n", NoBody),
            ("OPTIONS * HTTP/1.1\r\nhost:a\r\n\r\n", NoBody),
            ("GET http://A.b:80/x?y HTTP/1.1\r\nHost: a.B:80\r\n\r\n", NoBody),
            ("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", NoBody),
            (
                "POST /a%2Fb;c=d?e={f}|[]^ HTTP/1.1\r\nHost: [::1]:9000\r\nContent-Length: 0\r\n\r\n",
                Length(0),
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\ncontent-length:\t12 \r\n\r\n", Length(12)),
            ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740992\r\n\r\n", Length(LENGTH_MAX)),
            ("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", Length(3)),
            ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Chunked),
            ("X-METHOD / HTTP/1.1\r\nHost: 127.0.0.1\r\nEmpty:\r\nLatin: \u{e9}\r\n\r\n", NoBody),
        ];
        for (text, framing) in table {
            let head = head(text);
            assert_eq!(head.framing, framing, "{text:?}");
            assert_eq!(head.len, text.find("\r\n\r\n").unwrap() + 4, "{text:?}");
        }
    }

    #[test]
    fn doubtful_heads_are_refused() {
        let lines = [
            // Line ends and characters.
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\rHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{b}b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\u{7f}\r\n\r\n",
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "\u{16}\u{3}\u{1}",
            "\u{e9}",
            // Request line.
            "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n",
            " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
            "GET /\r\n\r\n",
            "GET / a HTTP/1.1\r\nHost: a\r\n\r\n",
            "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
            "ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
            "GET / HTTP/11\r\nHost: a\r\n\r\n",
            "GET / http/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/0.9\r\nHost: a\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            // Target.
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET index HTTP/1.1\r\nHost: a\r\n\r\n",
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
            "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a/ HTTP/1.0\r\n\r\n",
            "GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?\"<> HTTP/1.1\r\nHost: a\r\n\r\n",
            // Fields.
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb: c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX[]: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
            // Host.
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: []\r\n\r\n",
            // Framing.
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9007199254740993\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        ];
        for text in lines {
            assert!(matches!(scan(text.as_bytes()), Scan::Doubt(_)), "{text:?}: {:?}", scan(text.as_bytes()));
        }
    }

    #[test]
    fn every_beginning_of_a_good_head_is_partial() {
        let text = "\r\nPOST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
        let len = head(text).len;
        for end in 0..len {
            assert_eq!(scan(&text.as_bytes()[..end]), Scan::Partial, "{end}");
        }
        assert_eq!(head(&text[..len]), head(text));
    }

    #[test]
    fn what_the_client_wants_is_read() {
        let with =
            |version: &str, fields: &str| head(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n"));
        assert!(with("1.1", "").keep_alive && !with("1.1", "Connection: foo, Close\r\n").keep_alive);
        assert!(!with("1.0", "").keep_alive && with("1.0", "Connection: Keep-Alive\r\n").keep_alive);
        assert!(!with("1.0", "Connection: keep-alive\r\nConnection: close\r\n").keep_alive);
        assert!(with("1.1", "Expect: 100-Continue\r\n").expects_continue);
        assert!(!with("1.0", "Expect: 100-continue\r\n").expects_continue);
        assert!(!with("1.1", "Expect: tea\r\n").expects_continue);
        assert!(with("1.1", "Connection: keep-alive, Upgrade\r\n").wants_upgrade);
        assert!(with("1.0", "").is_http10 && !with("1.1", "").is_http10);
    }

    #[test]
    fn too_much_is_told_from_doubt() {
        let fields =
            |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
        assert!(matches!(scan(fields(HEADERS_MAX).as_bytes()), Scan::Head(_)));
        assert_eq!(scan(fields(HEADERS_MAX + 1).as_bytes()), Scan::TooLarge);
        let sized = |bytes: usize| {
            let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
            format!("{start}{}\r\n\r\n", "x".repeat(bytes - start.len() - 4))
        };
        assert!(matches!(scan(sized(HEAD_BYTES_MAX).as_bytes()), Scan::Head(_)));
        assert_eq!(scan(sized(HEAD_BYTES_MAX + 1).as_bytes()), Scan::TooLarge);
        assert_eq!(scan(&[b'a'; HEAD_BYTES_MAX]), Scan::TooLarge);
        assert_eq!(scan(&[b'a'; HEAD_BYTES_MAX - 1]), Scan::Partial);
    }

    #[test]
    fn random_bytes_and_broken_heads_end_in_an_answer() {
        let good = b"POST http://a:1/x?y=%20 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc";
        let mut state = 88_172_645_463_325_252u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let alphabet = b"\r\n\t :/?%[]a1\0\xff,";
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            for _ in 0..1 + next() % 3 {
                let at = usize::try_from(next() % bytes.len() as u64).unwrap();
                let with = alphabet[usize::try_from(next() % alphabet.len() as u64).unwrap()];
                if next() % 2 == 0 { bytes[at] = with } else { bytes.insert(at, with) }
            }
            if let Scan::Head(head) = scan(&bytes) {
                assert!(head.len <= bytes.len() && bytes[..head.len].ends_with(b"\r\n\r\n"));
            }
        }
    }
}
