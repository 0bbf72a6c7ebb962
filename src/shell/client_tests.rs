//! The client against real sockets on loopback.

use super::*;
use crate::shell::reactor::block_on;

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const AUTHORITY: &[u8] = include_bytes!("../../tests/fixtures/tls/authority.pem");
const SERVER: &[u8] = include_bytes!("../../tests/fixtures/tls/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("../../tests/fixtures/tls/server.key");

fn post(url: String) -> ClientRequest {
    ClientRequest {
        method: "POST",
        url,
        headers: vec![("content-type".into(), "application/json".to_owned())],
        body: b"{}".to_vec(),
        guard: AddressGuard::Any,
        connect_ms: 5_000,
        silence_ms: 5_000,
    }
}

fn client() -> Client {
    Client::new(Rc::new(Dialer::new(None).expect("no certificate to refuse")))
}

/// The status and the whole body, or what failed first.
fn fetch(client: &Client, request: ClientRequest) -> Result<(u16, Vec<u8>), Fault> {
    block_on(async {
        let mut response = client.send(request).await?;
        let mut body = Vec::new();
        while let Some(piece) = response.next().await? {
            assert!(!piece.is_empty() && piece.len() <= 8 * 1024, "{} bytes", piece.len());
            body.extend_from_slice(&piece);
        }
        Ok((response.status, body))
    })
}

/// A peer that does `serve` with one connection after the other; its port.
fn peer(serve: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let work = move || listener.incoming().flatten().for_each(serve);
    thread::Builder::new().spawn(work).expect("a thread");
    port
}

fn peer_saying(bytes: impl Into<Vec<u8>>) -> u16 {
    let bytes = bytes.into();
    peer(move |mut stream| {
        request_of(&mut stream);
        let _ = stream.write_all(&bytes);
    })
}

/// The text of a request whose body is `{}` or nothing.
fn request_of(stream: &mut impl io::Read) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    let is_whole = |text: &[u8]| match text {
        [b'P', ..] => text.ends_with(b"{}"),
        _ => text.ends_with(b"\r\n\r\n"),
    };
    while !is_whole(&text) && matches!(stream.read(&mut byte), Ok(1)) {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}/path?x=1")
}

#[test]
fn a_request_goes_out_as_it_was_made() {
    let (tell, heard) = mpsc::channel();
    let port = peer(move |mut stream| {
        tell.send(request_of(&mut stream)).expect("the test listens");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut request = post(url(port));
    request.headers.push(("authorization".into(), "Bearer abc".to_owned()));
    assert_eq!(fetch(&client(), request), Ok((200, b"ok".to_vec())));
    let text = heard.recv().expect("a request").to_lowercase();
    assert!(text.starts_with("post /path?x=1 http/1.1\r\n"), "{text}");
    let host = format!("host: 127.0.0.1:{port}");
    for line in [&*host, "authorization: bearer abc", "content-length: 2", "connection: close"] {
        assert_eq!(text.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {text}");
    }
    let url = format!("http://127.0.0.1:{port}");
    let get = ClientRequest { method: "GET", headers: Vec::new(), body: Vec::new(), ..post(url) };
    assert_eq!(fetch(&client(), get), Ok((200, b"ok".to_vec())));
    let text = heard.recv().expect("a request").to_lowercase();
    assert!(text.starts_with("get / http/1.1\r\n") && !text.contains("content-length"), "{text}");
}

#[test]
fn every_framing_of_a_body_is_read_to_its_end() {
    let long = "x".repeat(100_000);
    for (answer, body) in [
        ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), String::new()),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{long}"), long.clone()),
        (format!("HTTP/1.0 200 OK\r\n\r\n{long}"), long.clone()),
        (
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n186A0\r\n{long}\r\n1\r\ny\r\n0\r\na: b\r\n\r\n"
            ),
            format!("{long}y"),
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow\r\nContent-Length: 1\r\n\r\nz".to_owned(),
            "z".to_owned(),
        ),
    ] {
        let status = if body == "z" {
            429
        } else if body.is_empty() {
            204
        } else {
            200
        };
        assert_eq!(fetch(&client(), post(url(peer_saying(answer)))), Ok((status, body.into_bytes())));
    }
}

#[test]
fn what_is_no_answer_is_a_fault() {
    let head = |more: &str| format!("HTTP/1.1 200 OK\r\n{more}");
    for (answer, fault) in [
        (String::new(), Fault::Reset),
        ("HTTP/1.1 20".to_owned(), Fault::Reset),
        ("SSH-2.0-x\r\n\r\n".to_owned(), Fault::Garbage),
        (head("Content-Length: 5\r\n\r\nabc"), Fault::Reset),
        (head("Transfer-Encoding: chunked\r\n\r\n5\r\nabc"), Fault::Reset),
        (head("Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"), Fault::Garbage),
        (head(&format!("A: {}\r\n\r\n", "x".repeat(9_000))), Fault::TooLarge),
        (head(&format!("{}\r\n", "A: x\r\n".repeat(70))), Fault::TooLarge),
    ] {
        let found = fetch(&client(), post(url(peer_saying(answer.clone()))));
        assert_eq!(found, Err(fault), "{answer:.60}");
    }
    let large = ClientRequest { body: vec![0; REQUEST_BYTES_MAX + 1], ..post(url(1)) };
    assert_eq!(fetch(&client(), large), Err(Fault::TooLarge));
    assert_eq!(fetch(&client(), post("ftp://a/".to_owned())), Err(Fault::Transport));
    let split = ClientRequest { headers: vec![("a".into(), "b\r\nc: d".to_owned())], ..post(url(1)) };
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    assert_eq!(fetch(&client(), post(url(port))), Err(Fault::Refused));
    let kept = peer_saying("");
    assert_eq!(fetch(&client(), ClientRequest { url: url(kept), ..split }), Err(Fault::Transport));
}

#[test]
fn a_peer_that_only_ever_says_go_on_is_not_listened_to_for_ever() {
    let (tell, told) = mpsc::channel();
    let port = peer(move |mut stream| {
        request_of(&mut stream);
        let more = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000);
        let written = (0..2_000).take_while(|_| stream.write_all(&more).is_ok()).count();
        let _ = tell.send(written);
    });
    assert_eq!(fetch(&client(), post(url(port))), Err(Fault::Garbage));
    assert!(told.recv().expect("a count") < 2_000, "the peer was cut, it did not end by itself");
}

#[test]
fn silence_before_the_head_or_within_the_body_is_a_time_out() {
    for beginning in ["", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na"] {
        let (keep, kept) = mpsc::channel();
        let port = peer(move |mut stream| {
            request_of(&mut stream);
            let _ = stream.write_all(beginning.as_bytes());
            let _ = keep.send(stream);
        });
        let request = ClientRequest { silence_ms: 50, ..post(url(port)) };
        assert_eq!(fetch(&client(), request), Err(Fault::Timeout), "{beginning:.8}");
        drop(kept);
    }
}

#[test]
fn a_guard_keeps_names_and_addresses_out() {
    let port = peer_saying("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let url = format!("http://{host}:{port}/");
        let request = ClientRequest { guard: AddressGuard::PublicOnly, ..post(url) };
        assert_eq!(fetch(&client(), request), Err(Fault::PrivateAddress), "{host}");
    }
    let request = ClientRequest { guard: AddressGuard::NoPrivateNames, ..post(url(port)) };
    assert_eq!(fetch(&client(), request), Ok((200, Vec::new())));
}

#[test]
fn a_dropped_answer_closes_the_connection_and_an_unread_one_slows_the_peer() {
    let (tell, heard) = mpsc::channel();
    let sent = Arc::new(Mutex::new(0usize));
    let count = Arc::clone(&sent);
    let port = peer(move |mut stream| {
        request_of(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while stream.write_all(&[b'x'; 16 * 1024]).is_ok() {
            *count.lock().expect("a count") += 16 * 1024;
        }
        let _ = tell.send(());
    });
    block_on(async {
        let mut response = client().send(post(url(port))).await.expect("an answer");
        assert!(response.next().await.expect("a piece").is_some());
        // The peer fills the kernel's buffers and then waits.
        let mut before = usize::MAX;
        while *sent.lock().expect("a count") != before {
            before = *sent.lock().expect("a count");
            Timer::after(Duration::from_millis(50)).await;
        }
        assert!(before < 16 * 1024 * 1024, "{before} bytes were taken of an answer that nobody read");
        drop(response);
    });
    heard.recv_timeout(Duration::from_secs(5)).expect("the peer sees the end");
}

#[test]
fn under_tls_an_answer_is_read_and_a_stranger_is_refused() {
    let certificates =
        CertificateDer::pem_slice_iter(SERVER).collect::<Result<Vec<_>, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .expect("a certificate");
    let config = Arc::new(config);
    let port = peer(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a connection");
        let mut tls = rustls::StreamOwned::new(connection, stream);
        request_of(&mut tls);
        let _ = tls.write_all(b"HTTP/1.1 200 OK\r\n\r\nsecret");
        tls.conn.send_close_notify();
        let _ = tls.flush();
    });
    let url = format!("https://localhost:{port}/");
    assert_eq!(fetch(&client(), post(url.clone())), Err(Fault::Tls));
    let trusting = Client::new(Rc::new(Dialer::new(Some(AUTHORITY)).expect("an authority")));
    assert_eq!(fetch(&trusting, post(url)), Ok((200, b"secret".to_vec())));
}
