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
pub(super) fn is_token(b: u8) -> bool {
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
mod tests;
