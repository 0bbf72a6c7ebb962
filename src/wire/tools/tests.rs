use super::*;

fn touched(name: &str, arguments: &str) -> String {
    subject(name, arguments).unwrap_or_else(|why| panic!("{name} {arguments}: {why}"))
}

fn fault(name: &str, arguments: &str) -> String {
    match subject(name, arguments) {
        Ok(found) => panic!("{name} {arguments} was taken as {found:?}"),
        Err(why) => why,
    }
}

#[test]
fn every_schema_is_an_object_that_names_the_arguments_of_its_tool() {
    for tool in &TOOLS {
        let schema = Json::parse(tool.parameters.as_bytes()).expect("JSON");
        let mut named: Vec<String> = schema
            .get("properties")
            .expect("properties")
            .fields()
            .map(|(name, _)| name.into_owned())
            .collect();
        let mut known: Vec<String> = tool.others.iter().map(|name| (*name).to_owned()).collect();
        known.extend(Some(tool.subject.to_owned()).filter(|name| !name.is_empty()));
        named.sort();
        known.sort();
        assert_eq!(named, known, "{}", tool.name);
        assert_eq!(schema.get("additionalProperties").and_then(Json::bool), Some(false));
        assert!(tool.name.len() <= 64 && tool.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
    }
}

#[test]
fn a_model_is_told_of_the_tools_that_are_named_and_of_no_other() {
    let names = |names: &[&str]| -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let text = schemas(&names);
        let told = Json::parse(text.as_bytes()).expect("JSON");
        let name = |tool: Json<'_>| tool.at(&["function", "name"]).and_then(Json::text).map(Into::into);
        told.items().filter_map(name).collect()
    };
    assert_eq!(names(&[]), [""; 0]);
    assert_eq!(names(&["events", "read-file", "rm-rf", "mcp__*", "events"]), ["read-file", "events"]);
    assert_eq!(names(&["*"]).len(), TOOLS.len());
    assert_eq!(names(&["read-*"]), ["read-file"]);
}

#[test]
fn arguments_are_taken_as_the_schema_says() {
    let read = parse("read-file", r#"{"path":"./a//b/c.txt","offset":10,"limit":5}"#);
    assert_eq!(read, Ok(Action::ReadFile { path: "a/b/c.txt".to_owned(), offset: 10, limit: Some(5) }));
    let write = parse("write-file", r#"{"path":"a","content":"x\n","append":true}"#);
    let want = Action::WriteFile { path: "a".to_owned(), content: "x\n".to_owned(), is_append: true };
    assert_eq!(write, Ok(want));
    assert_eq!(parse("list-dir", " "), Ok(Action::ListDir { path: ".".to_owned() }));
    assert_eq!(parse("list-dir", r#"{"path":null}"#), Ok(Action::ListDir { path: ".".to_owned() }));
    assert_eq!(parse("system-info", "{}"), Ok(Action::SystemInfo));
    let Ok(Action::Events { filter, limit }) = parse("events", r#"{"type":"workflow_*","severity":"error"}"#)
    else {
        panic!("events");
    };
    assert_eq!(
        (filter.kinds, filter.severities, limit),
        (vec!["workflow_*".to_owned()], vec![Severity::Error], 20)
    );
}

#[test]
fn what_is_wrong_with_arguments_is_named() {
    for (name, arguments, want) in [
        ("nothing", "{}", "there is no tool"),
        ("read-file", "{}", "path is missing"),
        ("read-file", r#"{"path":1}"#, "path is a number"),
        ("read-file", r#"{"path":"a","mode":"r"}"#, "\"mode\" is not an argument of read-file"),
        ("read-file", r#"{"path":"a","path":"b"}"#, "path is given twice"),
        ("read-file", r#"{"path":"a","offset":-1}"#, "offset must be a whole number"),
        ("read-file", r#"{"path":"a","limit":0}"#, "limit must be a whole number"),
        ("read-file", r#"{"path":""}"#, "path is empty"),
        ("write-file", r#"{"path":"a"}"#, "content is missing"),
        ("write-file", r#"{"path":"a","content":"","append":"yes"}"#, "append must be true or false"),
        ("run-command", "{}", "command is missing"),
        ("run-command", r#"{"command":[]}"#, "names no program"),
        ("run-command", r#"{"command":[" "]}"#, "names no program"),
        ("run-command", r#"{"command":["a",1]}"#, "a list of strings"),
        ("run-command", r#"{"command":["a\u0000b"]}"#, "NUL"),
        ("run-command", r#"{"command":{"a":"b"}}"#, "an object"),
        ("run-command", r#"{"command":["ls"],"env":{}}"#, "\"env\" is not an argument"),
        ("system-info", r#"{"":1}"#, "is not an argument"),
        ("events", r#"{"limit":51}"#, "limit must be a whole number from 1 to 50"),
        ("events", r#"{"severity":"bad"}"#, "severity must be"),
        ("list-dir", "[]", "not an object"),
        ("list-dir", "{", "not valid JSON"),
    ] {
        let why = fault(name, arguments);
        assert!(why.contains(want), "{name} {arguments}: {why}");
    }
    let long = format!(r#"{{"path":"{}"}}"#, "a".repeat(TOOL_PATH_BYTES_MAX + 1));
    assert!(fault("read-file", &long).contains("the limit is 1024"));
    let huge = format!(r#"{{"path":"a","content":"{}"}}"#, "a".repeat(TOOL_ARGUMENTS_BYTES_MAX));
    assert!(fault("write-file", &huge).contains("longer than"));
    let many = format!(r#"{{"command":["a"{}]}}"#, r#","b""#.repeat(COMMAND_WORDS_MAX));
    assert!(fault("run-command", &many).contains("more than 64 words"));
}

#[test]
fn a_path_has_one_name_and_leads_down() {
    for (path, want) in
        [("a", "a"), ("a/./b/", "a/b"), (".", "."), ("./", "."), ("a/...", "a/..."), ("..a", "..a")]
    {
        assert_eq!(touched("read-file", &format!(r#"{{"path":"{path}"}}"#)), want);
    }
    for path in
        ["/etc/passwd", "//a", "..", "../a", "a/../../b", "a/..", "./..", "a\\u0000b", "a\\nb", "a\\u202eb"]
    {
        fault("write-file", &format!(r#"{{"path":"{path}","content":""}}"#));
        fault("run-command", &format!(r#"{{"command":["ls"],"cwd":"{path}"}}"#));
    }
}

#[test]
fn a_command_line_means_one_command() {
    for (words, want) in [
        (r#"["ls","-l","/tmp/a b"]"#, "ls -l '/tmp/a b'"),
        (r#"["echo","hi; rm -rf ~"]"#, "echo 'hi; rm -rf ~'"),
        (r#"["echo","$(reboot)","a|b","`x`"]"#, "echo '$(reboot)' 'a|b' '`x`'"),
        (r#"["echo","it's"]"#, r"echo $'it\'s'"),
        (r#"["echo","a\nb\u001b\\"]"#, r"echo $'a\nb\u001b\\'"),
        (r#"["echo",""]"#, "echo ''"),
        (r#"["echo","$'a'"]"#, r"echo $'$\'a\''"),
        (r#"["echo","\u202egpj.exe"]"#, r"echo $'\u202egpj.exe'"),
    ] {
        assert_eq!(touched("run-command", &format!(r#"{{"command":{words}}}"#)), want);
    }
    let below = r#"{"command":["make","all"],"cwd":"./a b/"}"#;
    assert_eq!(touched("run-command", below), "make all [in 'a b']");
    assert_eq!(touched("run-command", r#"{"command":["make","[in","a]"],"cwd":"."}"#), "make '[in' 'a]'");
    // A text for the shell never looks like the bare command at its start, so no rule for that lets it through.
    assert_eq!(touched("run-command", r#"{"command":"ls; reboot"}"#), "/bin/sh -c 'ls; reboot'");
    assert!(wants_shell(r#"{"command":"ls"}"#) && !wants_shell(r#"{"command":["ls"]}"#));
}

#[test]
fn a_url_means_one_place() {
    for (url, want) in [
        ("HTTP://Example.COM", "http://example.com/"),
        ("https://example.com:8443/a?b=../c#d", "https://example.com:8443/a?b=../c"),
        ("http://example.com?x", "http://example.com/?x"),
        ("http://[::1]:80/", "http://[::1]:80/"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        ("http://a.b.", "http://a.b./"),
        ("http://3com.example/", "http://3com.example/"),
    ] {
        assert_eq!(touched("http-get", &format!(r#"{{"url":"{url}"}}"#)), want);
    }
    for url in [
        "",
        "example.com",
        "ftp://a/",
        "file:///etc/passwd",
        "gopher://a/",
        "http://",
        "http:///a",
        "http://:80/",
        "http://good.example@10.0.0.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://1.2.3.4.5/",
        "http://a:99999/",
        "http://a:+80/",
        "http://[::1/",
        "http://[1.2.3.4]/",
        "http://[fe80::1%25eth0]/",
        "http://a\\\\b/",
        "http://a b/",
        "http://a/\\r\\nHost: b",
        "http://a/x/../y",
        "http://a/%2e%2E/y",
        "http://a..b/",
        "http://\u{e4}/",
    ] {
        fault("http-get", &format!(r#"{{"url":"{url}"}}"#));
    }
}

#[test]
fn the_subject_of_another_servers_tool_is_its_arguments_in_one_spelling() {
    let one = touched("mcp__a__b", r#" { "a" : [ 1.50, "\u0072m" ], "b":{} } "#);
    assert_eq!(one, r#"{"a":[1.50,"rm"],"b":{}}"#);
    assert_eq!(touched("mcp__a__b", ""), "{}");
    assert!(fault("mcp__a__b", r#"{"x":{"a":1,"\u0061":2}}"#).contains("given twice"));
}
