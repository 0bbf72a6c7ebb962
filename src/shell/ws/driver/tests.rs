#![allow(clippy::disallowed_methods, reason = "the far end of a socket is a thread of the test")]

use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures_lite::future::poll_once;

use super::*;
use crate::shell::reactor::{Async, block_on};

type Pair = Async<UnixStream>;

/// A socket in a role and the bare stream at its other end.
fn with_peer(role: Role) -> (Socket<Pair>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    (Socket::new(Async::new(ours).unwrap(), &[], role), theirs)
}

fn both() -> (Socket<Pair>, Socket<Pair>) {
    let (one, other) = UnixStream::pair().unwrap();
    let server = Socket::new(Async::new(one).unwrap(), &[], Role::Server);
    (server, Socket::new(Async::new(other).unwrap(), &[], Role::Client))
}

fn next(socket: &mut Socket<Pair>) -> Next {
    block_on(poll_fn(|cx| socket.poll_next(cx)))
}

fn is_quiet(socket: &mut Socket<Pair>) -> bool {
    block_on(poll_once(poll_fn(|cx| socket.poll_next(cx)))).is_none()
}

/// A frame as a client sends it, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u16::try_from(payload.len()) {
        Ok(short) if short < 126 => bytes.push(0x80 | short as u8),
        Ok(long) => {
            bytes.push(0x80 | 126);
            bytes.extend(long.to_be_bytes());
        }
        Err(_) => {
            bytes.push(0x80 | 127);
            bytes.extend((payload.len() as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

fn read_close_code(peer: &mut UnixStream) -> u16 {
    let mut bytes = [0; 4];
    peer.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[0], 0x88);
    u16::from_be_bytes([bytes[2], bytes[3]])
}

#[test]
fn messages_go_both_ways_and_an_idle_socket_sleeps() {
    let (mut server, mut client) = both();
    client.send_text("hello");
    assert!(is_quiet(&mut client));
    assert_eq!(next(&mut server), Next::Text("hello".into()));
    server.send_binary(vec![1, 2, 3]);
    assert!(is_quiet(&mut server));
    assert_eq!(next(&mut client), Next::Binary(vec![1, 2, 3].into()));
    assert!(is_quiet(&mut client));
    assert!(matches!(server.state, State::Asleep(_)) && matches!(client.state, State::Asleep(_)));
    client.send_text("again");
    assert!(is_quiet(&mut client));
    assert_eq!(next(&mut server), Next::Text("again".into()));
}

#[test]
fn a_ping_is_answered_without_being_asked_to() {
    let (mut server, mut client) = both();
    client.ping();
    assert!(is_quiet(&mut client));
    assert_eq!(next(&mut server), Next::Ping);
    assert!(is_quiet(&mut server));
    assert_eq!(next(&mut client), Next::Pong);
}

#[test]
fn only_the_pong_of_the_last_ping_counts() {
    let (mut client, mut raw) = with_peer(Role::Client);
    client.ping();
    client.ping();
    assert!(is_quiet(&mut client));
    for payload in [&[][..], &[0, 0, 0, 1], &[0, 0, 0, 0], &[0, 0, 0, 2]] {
        let head = [0x8a, u8::try_from(payload.len()).unwrap()];
        raw.write_all(&[&head, payload].concat()).unwrap();
        let expected = if payload.ends_with(&[2]) { Next::Pong } else { Next::StrayPong };
        assert_eq!(next(&mut client), expected, "{payload:?}");
    }
}

#[test]
fn a_close_is_told_to_both_sides_with_its_code() {
    let (mut server, mut client) = both();
    server.close(1012, "restart");
    assert!(!server.is_open() && is_quiet(&mut server));
    assert!(block_on(poll_once(poll_fn(|cx| client.poll_next(cx)))).is_none());
    let end = End::Closed { code: Some(1012), reason: "restart".to_owned() };
    assert_eq!(next(&mut server), Next::Ended(end.clone()));
    drop(server);
    assert_eq!(next(&mut client), Next::Ended(end));
}

#[test]
fn bytes_read_beyond_the_handshake_come_first() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let ahead = [frame(0x81, b"one"), frame(0x81, b"two")[..3].to_vec()].concat();
    let mut socket = Socket::new(Async::new(ours).unwrap(), &ahead, Role::Server);
    assert_eq!(next(&mut socket), Next::Text("one".into()));
    assert!(is_quiet(&mut socket), "the second is not whole");
    theirs.write_all(&frame(0x81, b"two")[3..]).unwrap();
    assert_eq!(next(&mut socket), Next::Text("two".into()));
}

#[test]
fn a_broken_rule_is_answered_with_its_code() {
    let too_long = vec![b'a'; SOCKET_MESSAGE_BYTES_MAX + 1];
    let reserved_bits = frame(0xf1, b"x");
    for (bytes, code) in [
        (vec![0x81, 0x01, b'a'], 1002),
        (reserved_bits, 1002),
        (frame(0x80, b"a"), 1002),
        (frame(0x81, b"\xff\xfe"), 1007),
        (frame(0x81, &too_long)[..20].to_vec(), 1009),
        ([frame(0x01, &too_long[..40_000]), frame(0x80, &too_long[..40_000])].concat(), 1009),
    ] {
        let (mut socket, mut peer) = with_peer(Role::Server);
        let writer = std::thread::spawn(move || {
            peer.write_all(&bytes).unwrap();
            peer
        });
        assert_eq!(next(&mut socket), Next::Ended(End::Fault(code)));
        assert_eq!(read_close_code(&mut writer.join().unwrap()), code);
        assert!(socket.into_stream().is_some());
    }
}

#[test]
fn a_message_of_the_largest_size_is_taken_and_its_memory_given_back() {
    let (mut socket, mut peer) = with_peer(Role::Server);
    let largest = vec![b'a'; SOCKET_MESSAGE_BYTES_MAX];
    let bytes = frame(0x81, &largest);
    let writer = std::thread::spawn(move || {
        peer.write_all(&bytes).unwrap();
        peer
    });
    assert!(matches!(next(&mut socket), Next::Text(text) if text.len() == SOCKET_MESSAGE_BYTES_MAX));
    assert!(is_quiet(&mut socket) && matches!(socket.state, State::Asleep(_)));
    drop(writer.join().unwrap());
}

#[test]
fn what_is_held_of_a_message_under_way_is_known() {
    let (mut socket, mut peer) = with_peer(Role::Server);
    peer.write_all(&frame(0x01, &[b'a'; 500])).unwrap();
    assert!(is_quiet(&mut socket));
    assert_eq!(socket.held_bytes(), 500);
    assert!(matches!(socket.state, State::Awake(_)));
    peer.write_all(&frame(0x80, b"b")).unwrap();
    assert!(matches!(next(&mut socket), Next::Text(text) if text.len() == 501));
    assert_eq!(socket.held_bytes(), 0);
}

#[test]
fn a_peer_that_does_not_read_is_not_read() {
    let (mut socket, mut peer) = with_peer(Role::Server);
    peer.set_nonblocking(true).unwrap();
    let mut sent = 0;
    while block_on(poll_once(poll_fn(|cx| socket.poll_flush(cx)))).is_some() {
        socket.send_text("x".repeat(4_000));
        sent += 1;
        assert!(sent < 10_000, "the kernel takes everything");
    }
    peer.write_all(&frame(0x81, b"unheard")).unwrap();
    assert!(is_quiet(&mut socket));
    assert_eq!(socket.unblocked_count(), 0);
    let mut bytes = vec![0; 1 << 20];
    let mut is_heard = false;
    while !is_heard {
        while matches!(peer.read(&mut bytes), Ok(n) if n > 0) {}
        is_heard = !is_quiet(&mut socket);
    }
    assert!(socket.unblocked_count() > 0);
}

#[test]
fn a_stream_that_ends_without_a_close_is_lost() {
    let (mut socket, peer) = with_peer(Role::Server);
    drop(peer);
    assert!(matches!(next(&mut socket), Next::Ended(End::Lost(_))));
    let (mut socket, mut peer) = with_peer(Role::Client);
    peer.write_all(&[0x81, 5, b'a']).unwrap();
    drop(peer);
    assert!(matches!(next(&mut socket), Next::Ended(End::Lost(_))));
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let frame = close_frame(1001, &"ä".repeat(100));
    assert_eq!(frame.reason.as_str().len(), 122);
}
