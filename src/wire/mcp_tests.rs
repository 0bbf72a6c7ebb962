use super::*;

fn json(text: &str) -> Json<'_> {
    Json::parse(text.as_bytes()).expect("JSON")
}

#[test]
fn requests_are_json_rpc() {
    let text = initialize(1);
    let message = json(&text);
    assert_eq!(
        message.at(&["params", "clientInfo", "name"]).and_then(Json::text).as_deref(),
        Some("chainbot")
    );
    assert_eq!(message.at(&["params", "protocolVersion"]).and_then(Json::text).as_deref(), Some(VERSION));
    assert_eq!(list(2, None), r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{}}"#);
    assert_eq!(
        list(3, Some("a\"")),
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/list","params":{"cursor":"a\""}}"#
    );
    assert_eq!(
        call(4, "add", r#" { "a" : 1, "b":"\u0041" } "#),
        r#"{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":"A"}}}"#
    );
    assert!(call(5, "add", "").ends_with(r#""arguments":{}}}"#));
}

#[test]
fn an_answer_is_told_from_everything_else() {
    assert_eq!(said(json(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#), 7), Said::Result(json("{}")));
    assert_eq!(said(json(r#"[{"id":6,"result":1},{"id":7,"result":{}}]"#), 7), Said::Result(json("{}")));
    for other in [r#"{"id":6,"result":{}}"#, r#"{"id":7}"#, r#"{"id":7,"method":"ping"}"#, "7", "null", "[]"]
    {
        assert_eq!(said(json(other), 7), Said::Other, "{other}");
    }
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    assert_eq!(said(json(changed), 7), Said::ToolsChanged);
    for error in [
        r#"{"id":7,"error":{"code":-32602,"message":"no\nsuch tool"}}"#,
        r#"{"id":null,"error":{"code":-32602,"message":"no such tool"}}"#,
    ] {
        let Said::Error { code, error } = said(json(error), 7) else { panic!("{error}") };
        assert_eq!((code, why(error).as_str()), (-32602, "no such tool"));
    }
}

#[test]
fn a_version_that_fits_no_header_is_none() {
    assert_eq!(version_of(json(r#"{"protocolVersion":"2025-03-26"}"#)).as_deref(), Some("2025-03-26"));
    for bad in
        [r#"{"protocolVersion":"a\r\nb"}"#, r#"{"protocolVersion":""}"#, r#"{"protocolVersion":1}"#, "{}"]
    {
        assert_eq!(version_of(json(bad)), None, "{bad}");
    }
}

#[test]
fn pages_are_gathered_and_bounded() {
    let mut tools = Vec::new();
    let page = r#"{"tools":[{"name":"add","description":"Adds\n two","inputSchema":{ "type": "object" }},{"name":"add"},
        {"name":""},{"title":"none"},{"name":"t","title":"T","inputSchema":[]}],"nextCursor":"2"}"#;
    assert_eq!(take_page(&mut tools, "s", json(page)).as_deref(), Some("2"));
    let found: Vec<_> = tools.iter().map(|tool| (&*tool.name, &*tool.about, &*tool.parameters)).collect();
    assert_eq!(
        found,
        [("mcp__s__add", "Adds  two", r#"{"type":"object"}"#), ("mcp__s__t", "T", r#"{"type":"object"}"#)]
    );
    assert_eq!(take_page(&mut tools, "s", json(r#"{"tools":[]}"#)), None);

    let big = format!(
        r#"{{"tools":[{{"name":"big","inputSchema":{{"a":"{}"}}}}]}}"#,
        "x".repeat(MCP_SCHEMA_BYTES_MAX)
    );
    assert_eq!(take_page(&mut tools, "s", json(&big)), None);
    assert_eq!(tools.len(), 2);

    let many = |count: usize, fill: usize| {
        let entry = |n: usize| format!(r#"{{"name":"t{n}","inputSchema":{{"a":"{}"}}}}"#, "x".repeat(fill));
        let entries: Vec<_> = (0..count).map(entry).collect();
        format!(r#"{{"tools":[{}],"nextCursor":"more"}}"#, entries.join(","))
    };
    let mut tools = Vec::new();
    assert_eq!(take_page(&mut tools, "s", json(&many(MCP_TOOLS_MAX + 1, 1))), None);
    assert_eq!(tools.len(), MCP_TOOLS_MAX);
    let mut tools = Vec::new();
    assert_eq!(take_page(&mut tools, "s", json(&many(MCP_TOOLS_MAX, 4_000))), None);
    assert!(tools.iter().map(McpTool::bytes).sum::<usize>() <= MCP_LISTED_BYTES_MAX && tools.len() > 10);
}

#[test]
fn each_tool_of_each_server_has_a_name_of_its_own_that_a_model_may_use() {
    assert_eq!(name_of("files", "read_file-2"), "mcp__files__read_file-2");
    let long = "x".repeat(100);
    let pairs = [
        ("a", "b__c"),
        ("a__b", "c"),
        ("a_", "b"),
        ("a", "_b"),
        ("a", "b.c"),
        ("a", "b_c"),
        ("a", "b c"),
        ("a", "b/c"),
        ("a", "ü"),
        ("a", "ö"),
        ("a", &long),
        ("a", &long[1..]),
        (&long, "a"),
        ("Builtin", "works.create"),
        ("a", ""),
    ];
    let mut names: Vec<String> = pairs.iter().map(|(server, tool)| name_of(server, tool)).collect();
    // One that was made to look like the name of another.
    let hashed = name_of("a", "b.c");
    names.push(name_of("a", hashed.strip_prefix("mcp__a__").expect("prefix")));
    for name in &names {
        assert!(
            name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)),
            "{name}"
        );
    }
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "{names:?}");
    assert_eq!(name_of("a", "b.c"), hashed, "and it stays");
}

#[test]
fn a_result_becomes_text() {
    let result = r#"{"content":[{"type":"text","text":"5"},{"type":"image","mimeType":"image/png","data":"QUJD"},
        {"type":"resource","resource":{"uri":"file:///a","text":"inside"}},{"type":"resource_link","uri":"file:///b"}]}"#;
    assert_eq!(outcome(json(result)), (true, "5\n[left out: image/png]\ninside\nfile:///b".to_owned()));
    assert_eq!(
        outcome(json(r#"{"isError":true,"content":[{"type":"text","text":"no"}]}"#)),
        (false, "no".to_owned())
    );
    assert_eq!(outcome(json(r#"{"structuredContent":{ "a": 1 }}"#)), (true, r#"{"a":1}"#.to_owned()));
    assert_eq!(outcome(json("{}")), (true, String::new()));
}

#[test]
fn a_name_that_is_not_ascii_is_cut_nowhere_within_a_letter() {
    for length in 0..40 {
        let tool = format!("a\u{664}{}", "d".repeat(length));
        let name = name_of("server", &tool);
        assert!(name.is_ascii() && name.len() <= 64, "{name}");
    }
}
