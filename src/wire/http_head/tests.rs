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
        ("POST /a%2Fb;c=d?e={f}|[]^ HTTP/1.1\r\nHost: [::1]:9000\r\nContent-Length: 0\r\n\r\n", Length(0)),
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
    let fields = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "a: b\r\n".repeat(count - 1));
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
