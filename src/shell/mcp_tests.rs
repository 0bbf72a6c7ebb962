use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use super::*;
use crate::agent::setup::Secret;
use crate::shell::dial::Dialer;
use crate::shell::reactor::block_on;

/// A request as the stand-in saw it.
#[derive(Clone, Debug, Default)]
struct Seen {
    http: String,
    method: String,
    id: String,
    session: String,
    version: String,
    authorization: String,
    body: String,
}

/// Status, headers, body.
type Reply = (u16, Vec<(&'static str, String)>, String);

struct StandIn {
    url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: Arc<tiny_http::Server>,
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.server.unblock();
    }
}

impl StandIn {
    fn open(answer: impl Fn(&Seen) -> Reply + Send + 'static) -> Self {
        let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").expect("port"));
        let url = format!("http://{}/mcp", server.server_addr());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (serving, log) = (Arc::clone(&server), Arc::clone(&seen));
        let work = move || {
            while let Ok(mut request) = serving.recv() {
                let saw = saw(&mut request);
                log.lock().expect("log").push(saw.clone());
                let (status, headers, body) = answer(&saw);
                let mut response = tiny_http::Response::from_string(body).with_status_code(status);
                for (name, value) in headers {
                    let header = tiny_http::Header::from_bytes(name, value).expect("header");
                    response.add_header(header);
                }
                let _ = request.respond(response);
            }
        };
        std::thread::Builder::new().spawn(work).expect("thread");
        Self { url, seen, server }
    }

    fn methods(&self) -> Vec<String> {
        self.seen.lock().expect("log").iter().map(|seen| seen.method.clone()).collect()
    }

    fn last(&self) -> Seen {
        self.seen.lock().expect("log").last().cloned().expect("a request")
    }

    fn setup(&self, name: &str, token: &str) -> McpSetup {
        let headers = vec![
            ("Authorization".to_owned(), Secret(format!("Bearer {token}"))),
            ("Mcp-Session-Id".to_owned(), Secret("forged".to_owned())),
        ];
        McpSetup { name: name.to_owned(), url: self.url.clone(), headers }
    }
}

fn saw(request: &mut tiny_http::Request) -> Seen {
    let header = |name: &str| {
        let found =
            request.headers().iter().find(|header| header.field.to_string().eq_ignore_ascii_case(name));
        found.map(|header| header.value.to_string()).unwrap_or_default()
    };
    assert_eq!(header("accept"), "application/json, text/event-stream");
    let mut seen = Seen {
        http: request.method().to_string(),
        session: header("mcp-session-id"),
        version: header("mcp-protocol-version"),
        authorization: header("authorization"),
        ..Seen::default()
    };
    request.as_reader().read_to_string(&mut seen.body).expect("body");
    if let Ok(json) = Json::parse(seen.body.as_bytes()) {
        seen.method = json.some("method").and_then(Json::text).unwrap_or_default().into_owned();
        seen.id = json.some("id").map(|id| id.raw().to_owned()).unwrap_or_default();
    }
    seen
}

fn json(id: &str, result: &str) -> Reply {
    let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
    (200, vec![("content-type", "application/json".to_owned())], body)
}

/// As a server of events, with others before it.
fn events(id: &str, result: &str) -> Reply {
    let (_, _, body) = json(id, result);
    let before = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
    let text = format!(
        ": hello\r\n\r\nevent: message\r\ndata: {before}\r\n\r\nevent: message\r\ndata: {body}\r\n\r\n"
    );
    (200, vec![("content-type", "text/event-stream; charset=utf-8".to_owned())], text)
}

const ADD: &str = r#"{"tools":[{"name":"add","description":"Adds","inputSchema":{"type":"object"}}]}"#;
const READY: &str = r#"{"protocolVersion":"2025-03-26","capabilities":{},"serverInfo":{}}"#;

/// What a well-behaved server says, in one form or the other.
fn usual(seen: &Seen, form: fn(&str, &str) -> Reply) -> Reply {
    match seen.method.as_str() {
        "initialize" => {
            let (status, mut headers, body) = form(&seen.id, READY);
            headers.push(("Mcp-Session-Id", "s1".to_owned()));
            (status, headers, body)
        }
        "notifications/initialized" => (202, Vec::new(), String::new()),
        "tools/list" => form(&seen.id, ADD),
        "tools/call" => form(&seen.id, r#"{"content":[{"type":"text","text":"5"}]}"#),
        _ => (200, Vec::new(), String::new()),
    }
}

fn servers() -> Servers {
    Servers::new(Client::new(Rc::new(Dialer::new(None).expect("dialer"))))
}

fn call(servers: &Servers, name: &str) -> Result<(bool, String), String> {
    let late = async {
        Timer::after(Duration::from_secs(20)).await;
        panic!("no answer");
    };
    block_on(future::or(servers.call(name, r#"{"a":2}"#), late))
}

fn told(servers: &Servers) -> String {
    let mut out = String::from("[");
    servers.push_schemas(&mut out, &["mcp__*".to_owned()]);
    out
}

#[test]
fn a_tool_is_found_and_called_whichever_way_the_server_answers() {
    for form in [json, events] {
        let stand_in = StandIn::open(move |seen| usual(seen, form));
        let servers = servers();
        servers.set(&[stand_in.setup("calc", "t1")]);
        assert_eq!(told(&servers), "[");
        assert_eq!(call(&servers, "mcp__calc__add"), Ok((true, "5".to_owned())));
        assert_eq!(
            told(&servers),
            r#"[{"type":"function","function":{"name":"mcp__calc__add","description":"Adds","parameters":{"type":"object"}}}"#
        );
        assert_eq!(
            stand_in.methods(),
            ["initialize", "notifications/initialized", "tools/list", "tools/call"]
        );
        let first = stand_in.seen.lock().expect("log")[0].clone();
        assert_eq!((&*first.session, &*first.version, &*first.authorization), ("", "", "Bearer t1"));
        let last = stand_in.last();
        assert_eq!((&*last.session, &*last.version, &*last.authorization), ("s1", "2025-03-26", "Bearer t1"));
        assert!(last.body.contains(r#""params":{"name":"add","arguments":{"a":2}}"#), "{}", last.body);
        assert!(call(&servers, "mcp__calc__sub").is_err_and(|why| why.contains("no server offers")));
        block_on(servers.goodbye());
        assert_eq!((&*stand_in.last().http, &*stand_in.last().session), ("DELETE", "s1"));
    }
}

#[test]
fn a_session_that_the_server_forgot_is_begun_anew_and_the_call_made_once() {
    let forgets = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&forgets);
    let stand_in = StandIn::open(move |seen| {
        let is_forgotten = seen.method == "tools/call" && count.load(Ordering::Relaxed) > 0;
        if is_forgotten {
            count.fetch_sub(1, Ordering::Relaxed);
            return (
                404,
                Vec::new(),
                r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"Session not found"}}"#.into(),
            );
        }
        usual(seen, json)
    });
    let servers = servers();
    servers.set(&[stand_in.setup("calc", "t1")]);
    assert_eq!(call(&servers, "mcp__calc__add"), Ok((true, "5".to_owned())));
    forgets.store(1, Ordering::Relaxed);
    let before = stand_in.methods().len();
    assert_eq!(call(&servers, "mcp__calc__add"), Ok((true, "5".to_owned())));
    let methods = &stand_in.methods()[before..];
    assert_eq!(methods, ["tools/call", "initialize", "notifications/initialized", "tools/call"]);
    forgets.store(2, Ordering::Relaxed);
    assert!(call(&servers, "mcp__calc__add").is_err_and(|why| why.contains("session lost twice")));
}

#[test]
fn a_server_that_talks_nonsense_costs_an_answer_and_no_more() {
    let huge = format!("data: {}", "x".repeat(REPLY_BYTES_MAX));
    for (kind, body) in [
        ("application/json", "garbage".to_owned()),
        ("application/json", "{}".to_owned()),
        ("application/json", r#"{"id":99,"result":{}}"#.to_owned()),
        ("application/json", "[".repeat(10_000)),
        ("text/html", "<html>".to_owned()),
        ("text/event-stream", "data: {\"a\":\r\n\r\n".to_owned()),
        ("text/event-stream", String::new()),
        ("text/event-stream", huge),
    ] {
        let shown = body.clone();
        let stand_in = StandIn::open(move |seen| match seen.method.as_str() {
            "tools/call" => (200, vec![("content-type", kind.to_owned())], body.clone()),
            _ => usual(seen, json),
        });
        let servers = servers();
        servers.set(&[stand_in.setup("calc", "t1")]);
        let result = call(&servers, "mcp__calc__add");
        assert!(
            result.is_err_and(|why| why.contains("whether it was done is unknown")),
            "{kind} {shown:.30}"
        );
        assert_eq!(stand_in.methods().iter().filter(|method| *method == "tools/call").count(), 1);
    }
}

#[test]
fn errors_are_told_in_the_servers_words_and_secrets_are_not() {
    let stand_in = StandIn::open(|seen| match seen.method.as_str() {
        "tools/call" => {
            let error = format!(
                r#"{{"jsonrpc":"2.0","id":{},"error":{{"code":-32602,"message":"no such tool"}}}}"#,
                seen.id
            );
            (200, vec![("content-type", "application/json".to_owned())], error)
        }
        _ => usual(seen, json),
    });
    let servers = servers();
    servers.set(&[stand_in.setup("calc", "t1")]);
    let why = call(&servers, "mcp__calc__add").expect_err("an error");
    assert_eq!(why, "the server calc refused: no such tool (code -32602)");
    let wanted = servers.with_listing(|listing| listing == Listing::Wanted);
    assert!(wanted.is_some(), "a tool that is not there may mean that the list is old");

    let closed = StandIn::open(|_| {
        (
            401,
            Vec::new(),
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"Unauthorized"}}"#.to_owned(),
        )
    });
    servers.set(&[closed.setup("calc", "sesame")]);
    let why = call(&servers, "mcp__calc__add").expect_err("an error");
    assert!(
        why.contains("the server calc does not answer: status 401: Unauthorized") && !why.contains("sesame"),
        "{why}"
    );
    assert!(!format!("{:?}", closed.setup("calc", "sesame")).contains("sesame"));
}

#[test]
fn a_list_comes_in_pages_and_again_when_the_server_says_that_it_changed() {
    let lists = AtomicU32::new(0);
    let stand_in = StandIn::open(move |seen| match seen.method.as_str() {
        "tools/list" if seen.body.contains("cursor") => json(&seen.id, r#"{"tools":[{"name":"two"}]}"#),
        "tools/list" => {
            let number = lists.fetch_add(1, Ordering::Relaxed);
            json(&seen.id, &format!(r#"{{"tools":[{{"name":"one{number}"}}],"nextCursor":"p2"}}"#))
        }
        "tools/call" => {
            let (status, headers, body) = events(&seen.id, r#"{"content":[]}"#);
            let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
            (status, headers, format!("data: {changed}\n\n{body}"))
        }
        _ => usual(seen, json),
    });
    let servers = servers();
    servers.set(&[stand_in.setup("calc", "t1")]);
    assert_eq!(call(&servers, "mcp__calc__two"), Ok((true, String::new())));
    let has = |name: &str| told(&servers).contains(&format!("\"mcp__calc__{name}\""));
    assert!(has("one0") && has("two") && !has("one1"));
    let relisted = async {
        while !has("one1") {
            future::yield_now().await;
        }
    };
    let late = async {
        Timer::after(Duration::from_secs(20)).await;
        panic!("not listed again");
    };
    block_on(future::or(relisted, future::or(servers.keep(), late)));
    assert!(!has("one0") && has("two"));
}

#[test]
fn a_new_token_keeps_the_tools_and_an_unchanged_server_its_session() {
    let stand_in = StandIn::open(|seen| usual(seen, json));
    let servers = servers();
    servers.set(&[stand_in.setup("calc", "t1")]);
    assert!(call(&servers, "mcp__calc__add").is_ok());
    servers.set(&[stand_in.setup("calc", "t1")]);
    assert!(call(&servers, "mcp__calc__add").is_ok());
    assert_eq!(stand_in.methods().iter().filter(|method| *method == "initialize").count(), 1);
    servers.set(&[stand_in.setup("calc", "t2"), stand_in.setup("calc", "t3")]);
    assert!(told(&servers).contains("mcp__calc__add"));
    assert!(call(&servers, "mcp__calc__add").is_ok());
    assert_eq!((&*stand_in.last().authorization, &*stand_in.last().method), ("Bearer t2", "tools/call"));
    let many: Vec<_> = (0..9).map(|n| stand_in.setup(&format!("s{n}"), "t")).collect();
    servers.set(&many);
    assert_eq!(servers.servers.borrow().len(), MCP_SERVERS_MAX);
    assert_eq!(told(&servers), "[", "those of servers that are gone are gone");
}
