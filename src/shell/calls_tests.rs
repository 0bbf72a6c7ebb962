//! Calls against real sockets on loopback. Peers that behave are `tiny_http`, peers that do not are bare sockets.

use super::*;
use crate::shell::reactor::block_on;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier, mpsc};
use std::time::Instant;

use rustls::HandshakeKind;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const AUTHORITY: &[u8] = include_bytes!("../../tests/fixtures/tls/authority.pem");
const SERVER: &[u8] = include_bytes!("../../tests/fixtures/tls/server.pem");
const SERVER_KEY: &[u8] = include_bytes!("../../tests/fixtures/tls/server.key");
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn post(url: String) -> HttpRequest {
    HttpRequest {
        method: "POST",
        url,
        headers: vec![("content-type", "application/json".to_owned())],
        body: b"{}".to_vec(),
        timeout_ms: 5_000,
        guard: AddressGuard::Any,
    }
}

/// One call by its own helper thread.
fn result_of(request: HttpRequest) -> CallResult {
    result_by(&Calls::new(None).expect("no certificate to refuse"), request)
}

fn result_by(calls: &Calls, request: HttpRequest) -> CallResult {
    calls.start(CallId(7), request);
    let (id, result) = block_on(calls.next());
    assert_eq!(id, CallId(7));
    result
}

fn background(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().spawn(work).expect("a thread");
}

/// A peer that does `serve` with every connection, each in its own thread; its port.
fn peer(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let serve = Arc::new(serve);
    background(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            background(move || serve(stream));
        }
    });
    port
}

/// A peer that reads a request and answers these bytes.
fn peer_saying(bytes: impl Into<Vec<u8>>) -> u16 {
    let bytes = bytes.into();
    peer(move |mut stream| {
        request_of(&mut stream);
        let _ = stream.write_all(&bytes);
    })
}

/// The text of a request whose body is `{}` or nothing.
fn request_of(stream: &mut impl Read) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    let is_whole = |text: &[u8]| match text {
        [b'G', ..] => text.ends_with(b"\r\n\r\n"),
        _ => text.ends_with(b"{}"),
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
fn every_status_is_an_answer_with_its_headers_and_words() {
    let server = tiny_http::Server::http("127.0.0.1:0").expect("a free port");
    let port = server.server_addr().to_ip().expect("an address").port();
    let statuses = [200, 201, 301, 307, 401, 404, 410, 429, 500, 503];
    background(move || {
        for status in statuses {
            let request = server.recv().expect("a request");
            let header = tiny_http::Header::from_bytes("Retry-After", "17").expect("a header");
            let text = format!("said {status}");
            let answer = tiny_http::Response::from_string(text).with_status_code(status).with_header(header);
            request.respond(answer).expect("it listens");
        }
    });
    let calls = Calls::new(None).expect("no certificate to refuse");
    for status in statuses {
        let reply = result_by(&calls, post(url(port))).expect("an answer");
        assert_eq!((reply.status, reply.over_tls), (status, false));
        assert_eq!(reply.retry_after.as_deref(), Some("17"));
        assert!(reply.date.is_some_and(|date| date.ends_with("GMT")));
        if status / 100 != 3 {
            assert_eq!(reply.body, format!("said {status}").into_bytes(), "{status}");
        }
    }
    assert_eq!(calls.threads(), CALLS_MAX, "all of them from the first call on");
}

#[test]
fn a_request_goes_out_as_it_was_made() {
    let (tell, heard) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let port = peer(move |mut stream| {
        let text = request_of(&mut stream);
        tell.lock().expect("one at a time").send(text).expect("the test listens");
        let _ = stream.write_all(OK);
    });
    let mut request = post(url(port));
    request.headers.push(("host", "alex.example".to_owned()));
    request.headers.push(("x-correlation-id", "42".to_owned()));
    result_of(request).expect("an answer");
    let text = heard.recv().expect("a request").to_lowercase();
    assert!(text.starts_with("post /path?x=1 http/1.1\r\n"), "{text}");
    for line in ["host: alex.example", "x-correlation-id: 42", "content-length: 2", "connection: close"] {
        assert_eq!(text.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {text}");
    }
    assert_eq!(text.matches("host:").count(), 1, "{text}");
    let version = env!("CARGO_PKG_VERSION");
    assert!(text.contains(&format!("user-agent: chainbot/{version}\r\n")), "{text}");

    let get = HttpRequest { method: "GET", headers: Vec::new(), body: Vec::new(), ..post(url(port)) };
    assert_eq!(result_of(get).expect("an answer").body, b"ok");
    let text = heard.recv().expect("a request").to_lowercase();
    assert!(text.starts_with("get /path?x=1 "), "{text}");
    assert!(!text.contains("content-length") && !text.contains("transfer-encoding"), "{text}");
}

#[test]
fn a_redirect_is_not_followed() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").expect("a free port");
    elsewhere.set_nonblocking(true).expect("set");
    let location = elsewhere.local_addr().expect("bound");
    for status in [301, 302, 303, 307, 308] {
        let head =
            format!("HTTP/1.1 {status} x\r\nLocation: http://{location}/\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(result_of(post(url(peer_saying(head)))).map(|reply| reply.status), Ok(status));
    }
    let nobody = elsewhere.accept().expect_err("nobody came");
    assert_eq!(nobody.kind(), io::ErrorKind::WouldBlock);
}

#[test]
fn a_peer_that_says_nothing_is_a_time_out() {
    let port = peer(|mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_takes_about_200_ms(HttpRequest { timeout_ms: 200, ..post(url(port)) }, Err(Fault::Timeout));
}

#[test]
fn a_body_that_drips_is_bounded_by_the_time_of_the_call() {
    let port = peer(|mut stream| {
        request_of(&mut stream);
        stream.set_read_timeout(Some(Duration::from_millis(10))).expect("set");
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n");
        // Ends when the caller hangs up.
        while stream.write_all(b"x").is_ok() && stream.read(&mut [0]).map_or(true, |count| count > 0) {}
    });
    assert_takes_about_200_ms(HttpRequest { timeout_ms: 200, ..post(url(port)) }, Err(Fault::Timeout));
}

#[expect(clippy::disallowed_methods, reason = "the time that passes is what is tested")]
fn assert_takes_about_200_ms(request: HttpRequest, want: CallResult) {
    let start = Instant::now();
    assert_eq!(result_of(request), want);
    let took = start.elapsed();
    assert!((Duration::from_millis(190)..Duration::from_secs(3)).contains(&took), "{took:?}");
}

#[test]
fn nobody_there_is_refused() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    assert_eq!(result_of(post(url(port))), Err(Fault::Refused));
}

#[test]
fn a_peer_that_hangs_up_is_a_reset() {
    assert_eq!(result_of(post(url(peer(drop)))), Err(Fault::Reset), "unread");
    assert_eq!(result_of(post(url(peer_saying("")))), Err(Fault::Reset), "read, not answered");
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    assert_eq!(result_of(post(url(peer_saying(half)))), Err(Fault::Reset), "in the middle of its answer");
}

#[test]
fn a_peer_that_speaks_no_http_is_garbage() {
    for bytes in ["SSH-2.0-OpenSSH_9.6\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "\r\n\0\0\0\0\r\n\r\n"] {
        let result = result_of(post(url(peer_saying(bytes))));
        assert!(matches!(result, Err(Fault::Garbage)), "{bytes:?}: {result:?}");
    }
}

#[test]
fn an_answer_that_is_too_large_is_told() {
    let announced = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", REPLY_BYTES_MAX + 1);
    assert_eq!(result_of(post(url(peer_saying(announced)))), Err(Fault::TooLarge), "announced");

    let unannounced = |bytes: usize| {
        let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        answer.resize(answer.len() + bytes, b'x');
        result_of(post(url(peer_saying(answer)))).map(|reply| reply.body.len())
    };
    assert_eq!(unannounced(REPLY_BYTES_MAX), Ok(REPLY_BYTES_MAX), "just fits");
    assert_eq!(unannounced(REPLY_BYTES_MAX + 1), Err(Fault::TooLarge), "one too many");

    let head =
        format!("HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(REPLY_HEAD_BYTES_MAX));
    assert_eq!(result_of(post(url(peer_saying(head)))), Err(Fault::TooLarge), "head");
}

#[test]
fn of_a_failure_only_the_first_words_are_kept() {
    let mut answer = b"HTTP/1.1 500 x\r\nContent-Length: 10000000\r\n\r\n".to_vec();
    answer.resize(answer.len() + 100_000, b'x');
    let reply = result_of(post(url(peer_saying(answer)))).expect("an answer");
    assert_eq!((reply.status, reply.body.len() as u64), (500, WORDS_BYTES_MAX));
}

#[test]
fn a_name_without_address_is_told() {
    // A label of more than 63 bytes cannot be asked for: no name server is needed to know.
    let host = format!("{}.example", "x".repeat(64));
    assert_eq!(result_of(post(format!("http://{host}/"))), Err(Fault::Dns));
}

#[test]
fn a_guarded_name_may_not_point_at_this_machine_but_an_address_may() {
    let port = peer_saying(OK);
    let guarded = |host| {
        result_of(HttpRequest {
            guard: AddressGuard::NoPrivateNames,
            ..post(format!("http://{host}:{port}/"))
        })
    };
    // libc reads these as 127.0.0.1; a URL's address is written with four numbers or it is a name.
    for host in ["127.1", "2130706433", "0x7f.0.0.1"] {
        assert_eq!(guarded(host), Err(Fault::PrivateAddress), "{host}");
    }
    for host in ["127.0.0.1", "localhost"] {
        assert_eq!(guarded(host).map(|reply| reply.status), Ok(200), "{host}");
    }
    // The guard is the call's: the next one in the same thread is not guarded by it.
    let calls = Calls::new(None).expect("no certificate to refuse");
    let named = post(format!("http://127.1:{port}/"));
    let guarded = HttpRequest { guard: AddressGuard::NoPrivateNames, ..named.clone() };
    assert_eq!(result_by(&calls, guarded), Err(Fault::PrivateAddress));
    assert_eq!(result_by(&calls, named).map(|reply| reply.status), Ok(200));
}

#[test]
fn bad_urls_and_headers_are_faults() {
    for bad in ["", "/path", "ftp://127.0.0.1/", "http://", "http://a b/", "http://[::1/"] {
        assert!(result_of(post(bad.to_owned())).is_err(), "{bad:?}");
    }
    let mut request = post(url(1));
    request.headers.push(("x", "a\r\nb: c".to_owned()));
    assert_eq!(result_of(request), Err(Fault::Transport));
}

#[test]
fn four_calls_run_at_once_and_the_threads_stay_four() {
    // No answer is given before all four are there.
    let all = Barrier::new(CALLS_MAX);
    let port = peer(move |mut stream| {
        request_of(&mut stream);
        all.wait();
        let _ = stream.write_all(OK);
    });
    let calls = Calls::new(None).expect("no certificate to refuse");
    for round in 0..3 {
        for id in 0..CALLS_MAX as u64 {
            calls.start(CallId(id), post(url(port)));
        }
        calls.start(CallId(99), post(url(port)));
        let mut back: Vec<_> = (0..=CALLS_MAX).map(|_| block_on(calls.next())).collect();
        back.sort_by_key(|(id, _)| *id);
        assert_eq!(back.pop(), Some((CallId(99), Err(Fault::Local))), "one too many");
        assert!(
            back.iter().all(|(_, result)| result.as_ref().is_ok_and(|reply| reply.status == 200)),
            "{back:?}"
        );
        assert_eq!(calls.threads(), CALLS_MAX, "round {round}");
    }
}

#[test]
fn threads_end_after_a_rest_and_are_there_again_for_the_next_call() {
    let port = peer_saying(OK);
    let calls = Calls::new(None).expect("no certificate to refuse");
    for _ in 0..2 {
        assert!(result_by(&calls, post(url(port))).is_ok_and(|reply| reply.status == 200));
        assert_eq!(calls.threads(), CALLS_MAX);
        let ended = async {
            while calls.threads() > 0 {
                Timer::after(Duration::from_millis(50)).await;
            }
            true
        };
        let none_comes_back = async { panic!("nobody called: {:?}", calls.next().await) };
        let too_late = async {
            Timer::after(10 * REST).await;
            false
        };
        assert!(block_on(future::or(future::or(ended, none_comes_back), too_late)));
    }
}

/// A TLS peer with the certificate of the fixtures; tells how each handshake went.
fn tls_peer() -> (u16, mpsc::Receiver<Option<HandshakeKind>>) {
    let certificate = CertificateDer::from_pem_slice(SERVER).expect("a fixture");
    let key = PrivateKeyDer::from_pem_slice(SERVER_KEY).expect("a fixture");
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(vec![certificate], key))
            .expect("a usable fixture");
    let config = Arc::new(config);
    let (tell, heard) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let port = peer(move |socket| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).expect("a good config");
        let mut stream = rustls::StreamOwned::new(connection, socket);
        request_of(&mut stream);
        let _ = tell.lock().expect("one at a time").send(stream.conn.handshake_kind());
        let _ = stream.write_all(OK);
        stream.conn.send_close_notify();
        let _ = stream.flush();
    });
    (port, heard)
}

#[test]
fn a_server_of_an_own_authority_is_trusted_and_its_session_resumed() {
    let (port, handshakes) = tls_peer();
    let calls = Calls::new(Some(AUTHORITY)).expect("a fixture");
    for (host, want) in [
        ("localhost", HandshakeKind::Full),
        ("localhost", HandshakeKind::Resumed),
        ("127.0.0.1", HandshakeKind::Full),
    ] {
        let reply = result_by(&calls, post(format!("https://{host}:{port}/"))).expect("an answer");
        assert_eq!((reply.status, reply.over_tls, reply.body), (200, true, b"ok".to_vec()));
        assert_eq!(handshakes.recv().expect("told"), Some(want), "{host}");
    }
}

#[test]
fn a_certificate_of_nobody_known_is_not_accepted() {
    let (port, _handshakes) = tls_peer();
    assert_eq!(result_of(post(format!("https://localhost:{port}/"))), Err(Fault::Tls));
    let plain = peer(|mut stream| {
        let _ = stream.write_all(OK);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(result_of(post(format!("https://localhost:{plain}/"))), Err(Fault::Tls), "no TLS at all");
    let trusting = Calls::new(Some(AUTHORITY)).expect("a fixture");
    // libc reads this name as 127.0.0.1, but it is not the one in the certificate.
    assert_eq!(
        result_by(&trusting, post(format!("https://127.0x1:{port}/"))),
        Err(Fault::Tls),
        "not its name"
    );
}

#[test]
fn an_authority_that_cannot_be_read_is_told_at_once() {
    for bad in [&b""[..], b"hello", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let error = Calls::new(Some(bad)).expect_err("not a certificate");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
