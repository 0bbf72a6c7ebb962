use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::rc::Rc;

use super::*;
use crate::shell::dial::Dialer;
use crate::shell::reactor::block_on;

fn client() -> Client {
    Client::new(Rc::new(Dialer::new(None).expect("dialer")))
}

fn setup(private_addresses: bool) -> ToolsSetup {
    ToolsSetup { private_addresses, output_bytes_max: 1_000, run_time_ms: 5_000, ..ToolsSetup::default() }
}

/// Answers one request with these bytes and gives its URL.
fn server(answer: &str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let url = format!("http://{}/a?b", listener.local_addr().expect("address"));
    let answer = answer.to_owned();
    let work = move || {
        let (mut stream, _) = listener.accept().expect("client");
        let mut head = vec![0; 4096];
        let read = stream.read(&mut head).expect("head");
        let _ = stream.write_all(answer.as_bytes());
        String::from_utf8_lossy(&head[..read]).into_owned()
    };
    (url, std::thread::Builder::new().spawn(work).expect("thread"))
}

fn fetched(answer: &str) -> ToolResult {
    let (url, thread) = server(answer);
    let result = block_on(get(&client(), url, &setup(true)));
    let head = thread.join().expect("server");
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n") && !head.contains("authorization"), "{head}");
    result
}

#[test]
fn a_page_of_text_is_told_with_its_status() {
    let result = fetched(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: 5\r\n\r\n<b>x!",
    );
    assert_eq!((result.is_ok, result.text.as_str()), (true, "[status 200]\n<b>x!"));
    let result = fetched("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone");
    assert_eq!((result.is_ok, result.text.as_str()), (false, "[status 404]\ngone"));
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let to = "http://169.254.169.254/latest/meta-data/";
    let result = fetched(&format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"));
    assert!(
        !result.is_ok && result.text.contains(to) && result.text.contains("not followed"),
        "{}",
        result.text
    );
}

#[test]
fn a_long_page_is_cut_and_a_broken_one_says_so() {
    let body = "é".repeat(5_000);
    let result = fetched(&format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nx{body}"));
    assert!(result.text.starts_with("[status 200; cut after 999 bytes]\nxé"), "{}", result.text);
    let result = fetched("HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\nhalf");
    assert!(result.text.starts_with("[status 200; broken off: "), "{}", result.text);
}

#[test]
fn what_is_no_text_is_not_told() {
    for head in
        ["content-type: image/png", "content-type: application/octet-stream", "content-encoding: gzip"]
    {
        let result = fetched(&format!("HTTP/1.1 200 OK\r\n{head}\r\ncontent-length: 4\r\n\r\nbyte"));
        assert!(!result.is_ok && !result.text.contains("byte"), "{}", result.text);
    }
    assert!(!fetched("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na\0b").is_ok);
    for kind in ["application/vnd.api+json", "TEXT/CSV", "application/atom+xml;charset=x", ""] {
        assert!(is_text(kind), "{kind}");
    }
}

#[test]
fn private_addresses_are_not_connected_to_however_they_are_written() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("port");
    let port = listener.local_addr().expect("address").port();
    listener.set_nonblocking(true).expect("listener");
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "10.0.0.1",
        "192.168.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "224.0.0.1",
        "255.255.255.255",
    ] {
        // Even if a URL came here unchecked.
        let url = format!("http://{host}:{port}/");
        let result = block_on(get(&client(), url, &setup(false)));
        assert!(!result.is_ok, "{host}: {}", result.text);
        let is_refused = ["refused: the address is private", "name has no address"];
        assert!(is_refused.iter().any(|why| result.text.contains(why)), "{host}: {}", result.text);
    }
    assert!(listener.accept().is_err(), "nobody connected");
}
