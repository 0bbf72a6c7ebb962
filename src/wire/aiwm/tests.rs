use super::*;
use crate::agent::ids::{CorrelationId, LedgerId};
use crate::agent::input::{ControllerAnswer, Generation, Outcome};
use crate::agent::limits::{INSTRUCTION_BYTES_MAX, MCP_SERVERS_MAX, SETTINGS_MAX, TOOLS_MAX};
use crate::agent::setup::Setup;
use crate::agent::time::Wall;
use crate::wire;

/// `{"iat":1700000000,"exp":1700086400,"orgId":{"a":1}}`
const JWT: &str = "e30.eyJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDA4NjQwMCwib3JnSWQiOnsiYSI6MX19.c2ln";

fn setup() -> AiwmSetup {
    AiwmSetup {
        base_url: "https://api.x-or.cloud/dev/aiwm".to_owned(),
        agent_id: "0123456789abcdef01234567".to_owned(),
        agent_secret: Secret("s\"3".to_owned()),
        request_timeout_ms: 10_000,
        ..AiwmSetup::default()
    }
}

fn beat() -> Call {
    let metrics = BeatMetrics { cpu_percent: 45.25, memory_percent: 60.0, uptime_s: 3600, connections: 3 };
    Call::AiwmHeartbeat { token: Secret(JWT.to_owned()), status: BeatStatus::Idle, metrics: Some(metrics) }
}

fn leave() -> Call {
    Call::AiwmDisconnect { token: Secret(JWT.to_owned()), reason: "signal" }
}

fn reply(status: u16, body: &str) -> CallResult {
    Ok(HttpReply { status, body: body.as_bytes().to_vec(), ..HttpReply::default() })
}

fn error(status: u16, message: &str, errors: &str) -> CallResult {
    reply(
        status,
        &format!(
            r#"{{"statusCode":{status},"message":"{message}"{errors},"timestamp":"t","path":"/agents/x","correlationId":"c"}}"#
        ),
    )
}

struct Connected {
    token: String,
    expires_in_s: Option<u64>,
    answer: ControllerAnswer,
    fact: String,
}

fn connected(body: &str) -> Connected {
    match decode(&Call::AiwmConnect, &reply(201, body)) {
        AiwmReply::Connected { token, expires_in_s, answer, fact } => {
            Connected { token: token.0, expires_in_s, answer: *answer, fact }
        }
        other => panic!("{body}: {other:?}"),
    }
}

fn settings(text: &str) -> Vec<(String, String, bool)> {
    let answer = connected(&format!(r#"{{"accessToken":"t","settings":{text}}}"#)).answer;
    answer.settings.into_iter().map(|s| (s.key, s.value.0, s.is_secret)).collect()
}

#[test]
fn the_three_requests_are_as_documented() {
    let sent = |call: &Call| {
        let request = encode(call, &setup());
        let header = |name: &str| {
            request.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
        };
        assert_eq!((request.method, request.timeout_ms), ("POST", 10_000));
        assert_eq!(header("content-type").as_deref(), Some("application/json"));
        (request.url.clone(), String::from_utf8(request.body.clone()).unwrap(), header("authorization"))
    };
    let base = "https://api.x-or.cloud/dev/aiwm/agents/0123456789abcdef01234567";
    let bearer = Some(format!("Bearer {JWT}"));
    assert_eq!(
        sent(&Call::AiwmConnect),
        (format!("{base}/connect"), r#"{"secret":"s\"3"}"#.to_owned(), None)
    );
    let body = r#"{"status":"idle","metrics":{"cpu":45.25,"memory":60,"uptime":3600,"activeConnections":3}}"#;
    assert_eq!(sent(&beat()), (format!("{base}/heartbeat"), body.to_owned(), bearer.clone()));
    assert_eq!(sent(&leave()), (format!("{base}/disconnect"), r#"{"reason":"signal"}"#.to_owned(), bearer));
}

#[test]
fn a_base_url_may_end_in_a_slash() {
    let setup = AiwmSetup { base_url: "http://a/b/".to_owned(), ..setup() };
    assert_eq!(encode(&Call::AiwmConnect, &setup).url, "http://a/b/agents/0123456789abcdef01234567/connect");
}

#[test]
fn generation_a_is_read() {
    let got = connected(&format!(
        r###"{{"token":"{JWT}","instruction":"Be kind.\n\n## Guidelines\n1. Short","tools":[{{"_id":"x","name":"search","type":"api"}},"calc",{{"name":""}},5],
        "settings":{{"claudeModel":"opus","maxTurns":100,"permissionMode":"default","resume":true,"claudeOAuthToken":"sk-1",
        "discord":{{"token":"d-1","channelIds":["1","2"],"botId":"b"}},"telegram":{{"token":"t-1","groupIds":"3,4","botUsername":"u"}}}},
        "agent":{{"id":"i","name":"Bot One","orgId":"[object Object]"}}}}"###
    ));
    assert_eq!((got.token.as_str(), got.expires_in_s), (JWT, Some(86_400)));
    assert_eq!(got.answer.generation, Generation::A);
    assert_eq!(got.answer.instruction, "Be kind.\n\n## Guidelines\n1. Short");
    assert_eq!(got.answer.tools, Some(vec!["search".to_owned(), "calc".to_owned()]));
    assert_eq!(got.answer.name.as_deref(), Some("Bot One"));
    let shown: Vec<_> = got
        .answer
        .settings
        .iter()
        .map(|s| format!("{}={}{}", s.key, s.value.0, if s.is_secret { "!" } else { "" }))
        .collect();
    assert_eq!(
        shown.join(" "),
        "claude.max_turns=100 claude.model=opus claude.oauth_token=sk-1! claude.permission_mode=default claude.resume=true \
         discord.bot_id=b discord.channel_ids=1,2 discord.token=d-1! telegram.bot_token=t-1! telegram.bot_username=u \
         telegram.group_ids=3,4"
    );
}

#[test]
fn generation_b_is_read() {
    let got = connected(
        r#"{"accessToken":"t.t.t","tokenType":"bearer","expiresIn":86400,"refreshToken":null,"refreshExpiresIn":0,
        "instruction":{"id":"i","systemPrompt":"Be kind.","guidelines":["Short","Plain"]},
        "mcpServers":{"Builtin":{"headers":{"Authorization":"Bearer t.t.t"}}},"settings":{}}"#,
    );
    assert_eq!((got.answer.generation, got.expires_in_s), (Generation::B, Some(86_400)));
    assert_eq!(got.answer.instruction, "Be kind.\n\n## Guidelines\n1. Short\n2. Plain");
    assert_eq!((got.answer.tools, got.answer.name), (None, None));
    assert!(!got.fact.contains("t.t.t"));
    assert!(got.answer.servers.is_empty(), "a server without a URL is none");
}

#[test]
fn servers_of_tools_are_read_and_their_tokens_kept_out_of_sight() {
    let answer = |servers: &str| {
        connected(&format!(
            r#"{{"accessToken":"t","instruction":{{}},"settings":{{}},"mcpServers":{servers}}}"#
        ))
    };
    let builtin = r#""Builtin":{"type":"http","url":"http://mcp.test:8001/","headers":{"Authorization":"Bearer s.e.c"}}"#;
    let got = answer(&format!("{{{builtin}}}"));
    let [server] = &got.answer.servers[..] else { panic!("{:?}", got.answer.servers) };
    assert_eq!((&*server.name, &*server.url), ("Builtin", "http://mcp.test:8001/"));
    assert_eq!(server.headers, [("Authorization".to_owned(), Secret("Bearer s.e.c".to_owned()))]);
    assert!(!got.fact.contains("s.e.c") && !got.fact.contains("mcp.test"));
    assert_eq!(got.answer.tools, None);
    let with_tools = connected(&format!(
        r#"{{"accessToken":"t","tools":[{{"name":"web.search"}},{{"name":"read-file"}}],"mcpServers":{{{builtin}}}}}"#
    ));
    let names = with_tools.answer.tools.unwrap_or_default();
    assert_eq!(names, ["web.search", "read-file", &wire::mcp::name_of("Builtin", "web.search")]);
    assert!(!format!("{:?}", got.answer).contains("s.e.c"));
    for bad in [
        r#"{"type":"stdio","command":"sh"}"#,
        r#"{"type":"sse","url":"http://a/"}"#,
        r#"{"url":"file:///etc/passwd"}"#,
        r#"{"url":"http://a/","headers":{"X":"a\r\nY: b"}}"#,
        r#"{"url":"http://a/","headers":{"X\r\nY":"b"}}"#,
        r#"{"url":"http://a/","headers":{"X":{}}}"#,
        "7",
    ] {
        let got = answer(&format!(r#"{{"bad":{bad},{builtin}}}"#));
        assert_eq!(got.answer.servers.len(), 1, "{bad}");
    }
    let many: Vec<_> = (0..9).map(|n| format!(r#""s{n}":{{"url":"http://a/"}}"#)).collect();
    assert_eq!(answer(&format!("{{{}}}", many.join(","))).answer.servers.len(), MCP_SERVERS_MAX);
    for odd in ["[]", "null", "\"x\"", "{}"] {
        assert!(answer(odd).answer.servers.is_empty(), "{odd}");
    }
}

#[test]
fn generation_c_compares_equal_over_connects() {
    let at = |time: &str| {
        connected(&format!(
            r#"{{"accessToken":"t","expiresIn":86400,"id":"i","name":"Bot","framework":"claude-agent-sdk","allowedFunctions":[],"tools":[],
            "instruction":{{"id":"i","systemPrompt":"<system>\nBe kind.\n</system>\n\n---\n\n<runtime>\nDatetime: {time}\nAgent ID: i\n</runtime>"}},
            "settings":{{"claude_model":"opus","assistant_maxConcurrency":5}}}}"#
        ))
        .answer
    };
    let first = at("2026-11-21T00:00:00Z");
    assert_eq!(first, at("2026-11-22T09:00:00Z"));
    assert_eq!((first.generation, first.instruction.as_str()), (Generation::C, "Be kind."));
    assert_eq!((first.tools.as_deref(), first.name.as_deref()), (Some(&[][..]), Some("Bot")));
    assert_eq!(first.settings[0].key, "assistant_maxConcurrency");
}

#[test]
fn the_day_between_a_and_b_counts_as_a() {
    let got = connected(
        r#"{"accessToken":"t","mcpEndpoint":"http://m","instruction":"x","tools":["a"],"settings":{}}"#,
    );
    assert_eq!(got.answer.generation, Generation::A);
}

#[test]
fn an_instruction_that_is_not_there_is_empty() {
    for text in [
        r#""No instruction configured for this agent.""#,
        r#"{"id":"","systemPrompt":"Instruction not found."}"#,
        r#"{"systemPrompt":"<system>\nInstruction is currently inactive.\n</system>\n\n---\n\n<runtime>\nDatetime: x\n</runtime>"}"#,
        r#"{"systemPrompt":null}"#,
        r#"{}"#,
        "null",
        "7",
        "[]",
    ] {
        assert_eq!(
            connected(&format!(r#"{{"token":"t","instruction":{text}}}"#)).answer.instruction,
            "",
            "{text}"
        );
    }
}

#[test]
fn a_users_own_runtime_block_stays() {
    for text in ["Use <runtime> wisely", "a <runtime>node</runtime> b", "</runtime><runtime>"] {
        let body = format!(r#"{{"token":"t","instruction":"{text}"}}"#);
        assert_eq!(connected(&body).answer.instruction, text);
    }
}

#[test]
fn flat_settings_win_over_nested_ones_and_empty_ones_are_not_set() {
    let got = settings(
        r#"{"discord":{"token":"old","botId":"b"},"discord_token":"new","claudeModel":"old","claude_model":"",
        "telegram_groupIds":[1,2],"claude_resume":null,"claude_maxTurns":[]}"#,
    );
    let want = [
        ("claude.model", "old", false),
        ("discord.bot_id", "b", false),
        ("discord.token", "new", true),
        ("telegram.group_ids", "1,2", false),
    ];
    assert_eq!(got, want.map(|(key, value, is_secret)| (key.to_owned(), value.to_owned(), is_secret)));
}

#[test]
fn unknown_settings_keep_their_name_and_hide_what_may_be_secret() {
    let got = settings(
        r#"{"fooBar":"x","apiKey":"k","a":{"dbPassword":"p","b":{"c":{"d":1}}},"list":[{"x":1}],"bad name":1,"é":1}"#,
    );
    let want = [
        ("a.b", r#"{"c":{"d":1}}"#, true),
        ("a.dbPassword", "p", true),
        ("apiKey", "k", true),
        ("fooBar", "x", false),
        ("list", r#"[{"x":1}]"#, true),
    ];
    assert_eq!(got, want.map(|(key, value, is_secret)| (key.to_owned(), value.to_owned(), is_secret)));
}

#[test]
fn everything_kept_is_bounded() {
    let many: Vec<_> = (0..500).map(|n| format!(r#""s{n}":"{}""#, "v".repeat(n * 10))).collect();
    let tools = vec![r#"{"name":"abc"}"#; 500].join(",");
    let long = "é".repeat(INSTRUCTION_BYTES_MAX);
    let got = connected(&format!(
        r#"{{"token":"t","instruction":"{long}","tools":[{tools}],"name":"{long}","settings":{{{}}}}}"#,
        many.join(",")
    ))
    .answer;
    assert_eq!(got.tools.unwrap().len(), TOOLS_MAX);
    assert!(got.instruction.len() <= INSTRUCTION_BYTES_MAX && got.name.unwrap().len() <= 128);
    let bytes: usize = got.settings.iter().map(|s| s.key.len() + s.value.0.len()).sum();
    assert!(got.settings.len() <= SETTINGS_MAX && bytes <= 32 * 1024);
}

#[test]
fn a_token_is_lifetime_and_header_checked() {
    for (token, expires_in, want) in [
        (JWT, "", Some(86_400)),
        (JWT, r#","expiresIn":0"#, Some(86_400)),
        (JWT, r#","expiresIn":3600"#, Some(3_600)),
        (JWT, r#","expiresIn":"soon""#, Some(86_400)),
        ("opaque", "", None),
        ("a.b.c", "", None),
        ("a.e30.c", "", None),
        ("a.eyJleHAiOjV9.c", "", None),
        ("a.!!!.c", "", None),
        ("..", "", None),
    ] {
        assert_eq!(
            connected(&format!(r#"{{"token":"{token}"{expires_in}}}"#)).expires_in_s,
            want,
            "{token}{expires_in}"
        );
    }
    for token in ["", "a b", "a\\r\\nX: y", "é", &"a".repeat(9_000)] {
        let got = decode(&Call::AiwmConnect, &reply(201, &format!(r#"{{"token":"{token}"}}"#)));
        assert_eq!(got, AiwmReply::Failed { fault: Fault::Garbage, after_ms: None }, "{token}");
    }
}

#[test]
fn garbage_on_a_connect_is_a_failure() {
    for body in
        ["", "{}", "[]", "null", "<html>", r#"{"token":5}"#, r#"{"token":null}"#, "{\"token\":\"a\"", "\u{0}"]
    {
        let want = AiwmReply::Failed { fault: Fault::Garbage, after_ms: None };
        assert_eq!(decode(&Call::AiwmConnect, &reply(200, body)), want, "{body}");
    }
}

#[test]
fn garbage_in_the_parts_of_an_answer_is_passed_over() {
    for part in [
        r#""tools":{}"#,
        r#""tools":"x""#,
        r#""settings":[]"#,
        r#""settings":"x""#,
        r#""agent":[]"#,
        r#""name":5"#,
        r#""instruction":true"#,
        r#""expiresIn":-1"#,
    ] {
        let got = connected(&format!(r#"{{"accessToken":"t",{part}}}"#));
        assert!(
            got.answer.settings.is_empty() && got.answer.tools.is_none() && got.answer.name.is_none(),
            "{part}"
        );
    }
}

#[test]
fn errors_are_told_apart() {
    use AiwmReply as R;
    let unauthorized = |why: &str| R::Unauthorized { why: why.to_owned() };
    let connect = Call::AiwmConnect;
    let beat = beat();
    let table = [
        (&connect, error(401, "Invalid credentials", ""), unauthorized("Invalid credentials")),
        (
            &connect,
            error(401, "Agent has no secret configured", ""),
            unauthorized("Agent has no secret configured"),
        ),
        (&connect, error(401, "Agent is suspended", ""), R::Suspended),
        (&beat, error(400, "Agent is suspended. Heartbeat rejected.", ""), R::Suspended),
        (&beat, error(401, "Unauthorized", ""), unauthorized("Unauthorized")),
        (&connect, error(404, "Agent with ID 0123 not found", ""), R::AgentGone),
        (&beat, error(404, "Agent with ID 0123 not found", ""), R::AgentGone),
        (&connect, error(404, "Cannot POST /agents/x/connect", ""), R::WrongPath { status: 404 }),
        (&connect, reply(404, "<html>nginx</html>"), R::WrongPath { status: 404 }),
        (&connect, reply(405, ""), R::WrongPath { status: 405 }),
        (&connect, reply(501, ""), R::WrongPath { status: 501 }),
        (&connect, error(500, "Internal server error", ""), R::ServerError { status: 500 }),
        (&beat, reply(502, "<html>"), R::ServerError { status: 502 }),
        (&beat, reply(503, ""), R::ServerError { status: 503 }),
        (
            &beat,
            error(400, "Validation failed", r#","errors":["status must be one of the following values: "]"#),
            R::StatusRefused,
        ),
        (
            &connect,
            error(400, "Validation failed", r#","errors":["secret should not be empty"]"#),
            R::Refused { status: 400, why: "secret should not be empty".to_owned() },
        ),
        (
            &beat,
            error(400, "Validation failed", r#","errors":["metrics must be an object"]"#),
            R::Refused { status: 400, why: "metrics must be an object".to_owned() },
        ),
        (&beat, error(403, "Forbidden", ""), R::Refused { status: 403, why: "Forbidden".to_owned() }),
        (&beat, reply(429, ""), R::Failed { fault: Fault::Status(429), after_ms: None }),
        (&beat, reply(302, ""), R::Failed { fault: Fault::Status(302), after_ms: None }),
        (&beat, Err(Fault::Dns), R::Failed { fault: Fault::Dns, after_ms: None }),
    ];
    for (call, result, want) in table {
        assert_eq!(decode(call, &result), want, "{result:?}");
    }
}

#[test]
fn retry_after_makes_a_503_a_wait() {
    for status in [429, 503] {
        let reply = HttpReply { status, retry_after: Some("30".to_owned()), ..HttpReply::default() };
        let want = AiwmReply::Failed { fault: Fault::Status(status), after_ms: Some(30_000) };
        assert_eq!(decode(&beat(), &Ok(reply)), want);
    }
}

#[test]
fn any_2xx_takes_a_beat_and_work_is_seen() {
    for (body, work) in [
        (r#"{"success":true}"#, None),
        ("", None),
        ("garbage", None),
        (r#"{"success":true,"work":{"id":"w","title":"Fix\nit","type":"t"}}"#, Some("Fix it")),
        (r#"{"work":{"id":"w","title":""}}"#, Some("w")),
        (r#"{"work":null,"systemTask":{"type":"reminders","reminders":[]}}"#, Some("reminders")),
        (r#"{"work":[1],"systemTask":5}"#, None),
    ] {
        for (call, status) in [(beat(), 200), (beat(), 201), (leave(), 204)] {
            let want = AiwmReply::Taken { work: work.map(str::to_owned) };
            assert_eq!(decode(&call, &reply(status, body)), want, "{body}");
        }
    }
}

#[test]
fn a_fact_reads_back_without_its_secrets() {
    let got = connected(
        r#"{"accessToken":"t.t","instruction":{"systemPrompt":"a\n\"b\""},"tools":[{"name":"x"}],"name":"N",
        "settings":{"claude_model":"opus","discord_token":"d-1","my_secret":"s-1"}}"#,
    );
    for hidden in ["t.t", "d-1", "s-1"] {
        assert!(!got.fact.contains(hidden), "{}", got.fact);
    }
    let mut want = got.answer.clone();
    want.settings.retain(|setting| !setting.is_secret);
    assert_eq!(want.settings.len(), 1);
    assert_eq!(controller_from_fact(&got.fact), Some(want.clone()));
    let bare = ControllerAnswer::default();
    assert_eq!(controller_from_fact(&controller_to_fact(&bare)), Some(bare));
}

#[test]
fn a_fact_that_is_none_is_refused() {
    for text in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"generation":"z","instruction":"","settings":{}}"#,
        r#"{"generation":"a"}"#,
        "{\"generation\":\"a\"",
    ] {
        assert_eq!(controller_from_fact(text), None, "{text}");
    }
    let odd = controller_from_fact(r#"{"generation":"b","instruction":"x","tools":[1,"a"],"settings":{"a":1,"b":"c","my_token":"t","x y":"z"},"name":5}"#).unwrap();
    assert_eq!((odd.tools, odd.name, odd.settings.len()), (Some(vec!["a".to_owned()]), None, 1));
}

#[test]
fn the_date_is_believed_only_of_an_authenticated_peer() {
    let answer = |call: &Call, status: u16, over_tls: bool| {
        let reply = HttpReply {
            status,
            date: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
            body: br#"{"token":"t"}"#.to_vec(),
            over_tls,
            ..HttpReply::default()
        };
        wire::decode(call, Ok(reply)).1
    };
    let date = Some(Wall(784_111_777_000));
    for call in [Call::AiwmConnect, beat(), leave()] {
        assert_eq!(answer(&call, 201, false), date);
        assert_eq!(answer(&call, 401, false), None);
        assert_eq!(answer(&call, 401, true), date);
    }
    let register = Call::AlexosRegister { at: Wall(0) };
    assert_eq!(answer(&register, 200, false), None);
    assert_eq!(answer(&register, 200, true), date);
    assert_eq!(
        wire::decode(&beat(), Err(Fault::Tls)),
        (Outcome::Aiwm(AiwmReply::Failed { fault: Fault::Tls, after_ms: None }), None)
    );
}

#[test]
fn every_request_names_us_and_its_correlation_once() {
    let setup = Setup { aiwm: Some(setup()), ..Setup::default() };
    let request = wire::encode(&beat(), CorrelationId(0xabc), LedgerId(1), &setup).unwrap();
    let value = |name: &str| {
        let mut found = request.headers.iter().filter(|(known, _)| *known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice");
        value
    };
    assert_eq!(value("x-correlation-id"), Some("00000000000000000000000000000abc"));
    assert_eq!(value("user-agent"), Some(wire::USER_AGENT));
    assert_eq!(wire::encode(&beat(), CorrelationId(1), LedgerId(1), &Setup::default()), None);
}
