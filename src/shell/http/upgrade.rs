//! Leaving HTTP: the request for an upgrade as the service takes it, and the 101.

use std::net::SocketAddr;
use std::rc::Rc;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Uri};

use super::service::{Incoming, Upgrade};

/// Reads a head that `http_head::scan` has let pass. `None`: hyper is left to say what it thinks of it.
pub(super) fn incoming(head: &[u8], peer: SocketAddr) -> Option<Incoming> {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head).strip_suffix(b"\r\n\r\n")?;
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next()?.split(|b| *b == b' ');
    let method = Method::from_bytes(words.next()?).ok()?;
    let uri = Uri::try_from(words.next()?).ok()?;
    let mut headers = HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':')?);
        let value = HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?;
        headers.append(HeaderName::from_bytes(name).ok()?, value);
    }
    let (path, query) = (uri.path().to_owned(), uri.query().map(str::to_owned));
    Some(Incoming { method, path, query, headers, body: Vec::new(), peer, pace: Rc::default() })
}

/// The 101 as it goes over the wire.
pub(super) fn to_wire(upgrade: &Upgrade) -> Vec<u8> {
    let mut wire =
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n".to_owned();
    for (name, value) in &upgrade.headers {
        wire.push_str(name);
        wire.push_str(": ");
        wire.push_str(value);
        wire.push_str("\r\n");
    }
    wire.push_str("\r\n");
    wire.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_hyper_would_read_it() {
        let peer = SocketAddr::from(([127, 0, 0, 1], 5));
        let head = b"GET /ws/events?since=0 HTTP/1.1\r\nHost: localhost\r\nX-Odd:  a b \r\nx-odd:\r\n\r\n";
        for head in [head.to_vec(), [b"\r\n", &head[..]].concat()] {
            let read = incoming(&head, peer).unwrap();
            assert_eq!((read.path.as_str(), read.query.as_deref()), ("/ws/events", Some("since=0")));
            let odd: Vec<_> = read.headers.get_all("x-odd").iter().collect();
            assert_eq!(odd, ["a b", ""]);
        }
        assert!(incoming(b"GET / HTTP/1.1\r\nHost: a\r\n", peer).is_none(), "no end");
    }
}
