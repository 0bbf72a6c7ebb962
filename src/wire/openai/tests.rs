use super::*;
use crate::agent::brain::speech::{ThoughtFault, ToolCall};
use crate::agent::input::Fault;
use crate::agent::time::Wall;
use crate::wire::chat::{Delta, Finish, Gather};

fn json(text: &str) -> Json<'_> {
    Json::parse(text.as_bytes()).unwrap_or_else(|fault| panic!("{fault}: {text}"))
}

#[test]
fn a_question_is_read_and_its_faults_are_named() {
    let body = br#"{"model":"m","stream":true,"queue":true,"stream_options":{"include_usage":true},"messages":[{"role":"user"}]}"#;
    let asked = read(body).expect("a good question");
    let (tokens, model) = (tokens_of(body.len() as u64), "m".to_owned());
    assert_eq!(asked, Asked { model, is_stream: true, wants_usage: true, is_queued: true, tokens });
    let plain =
        read(br#"{"messages":[{"role":"user","content":"x"}],"stream":null}"#).expect("a good question");
    assert!(!plain.is_stream && !plain.is_queued && plain.model.is_empty());
    for (bad, param) in [
        ("", ""),
        ("[]", ""),
        ("{}", "messages"),
        (r#"{"messages":{}}"#, "messages"),
        (r#"{"messages":[]}"#, "messages"),
        (r#"{"messages":["x"]}"#, "messages"),
        (r#"{"messages":[{"role":1}]}"#, "messages"),
        (r#"{"messages":[{"role":"user"}],"model":5}"#, "model"),
        (r#"{"messages":[{"role":"user"}],"stream":"yes"}"#, "stream"),
        (r#"{"messages":[{"role":"user"}],"stream_options":[]}"#, "stream_options"),
        (r#"{"messages":[{"role":"user"}],"queue":1}"#, "queue"),
    ] {
        let fault = read(bad.as_bytes()).expect_err(bad);
        assert_eq!(fault.param, param, "{bad}");
        let body = fault.body();
        assert_eq!(
            json(&body).at(&["error", "type"]).and_then(Json::text).as_deref(),
            Some("invalid_request_error")
        );
    }
}

#[test]
fn a_question_goes_on_as_it_was_written_but_for_the_model() {
    let body = br#"{ "model":"a","mod\u0065l":"b", "x\"y":{"deep":[1e3]},"queue":true,"messages":[ {"role":"user"} ],"stream":true}"#;
    let made = rewrite(body, "m", true);
    assert_eq!(made, r#"{"x\"y":{"deep":[1e3]},"messages":[ {"role":"user"} ],"model":"m","stream":true}"#);
    let kept = rewrite(br#"{"model":"a","messages":[],"stream_options":{}}"#, "", false);
    assert_eq!(kept, r#"{"model":"a","messages":[]}"#);
    assert_eq!(rewrite(br#"{"stream":false}"#, "", false), r#"{"stream":false}"#);
    assert_eq!(rewrite(b"[1", "m", false), "{}");
}

fn message(role: Role, text: &str) -> Message {
    let (calls, call_id) = (Vec::new(), String::new());
    Message { role, text: text.to_owned(), at: Wall(0), calls, call_id, is_partial: false }
}

#[test]
fn a_conversation_becomes_a_question_with_its_calls_and_results() {
    let call = ToolCall {
        id: "c1".to_owned(),
        name: "list-dir".to_owned(),
        arguments: r#"{"path":"."}"#.to_owned(),
        subject: ".".to_owned(),
    };
    let messages = [
        (4, message(Role::User, "what \"is\" here?")),
        (5, Message { calls: vec![call], ..message(Role::Assistant, "") }),
        (6, Message { call_id: "c1".to_owned(), ..message(Role::Tool, "a\nb") }),
    ];
    let tools = r#"[{"type":"function","function":{"name":"list-dir"}}]"#;
    let prompted = Prompted {
        model: "m",
        instruction: "be kind",
        messages: &messages,
        tools,
        max_tokens: 100,
        temperature_milli: 250,
    };
    let made = from_messages(&prompted, false);
    assert_eq!(
        made,
        concat!(
            r#"{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":"what \"is\" here?"},"#,
            r#"{"role":"assistant","content":"","tool_calls":[{"id":"c1","type":"function","function":{"name":"list-dir","arguments":"{\"path\":\".\"}"}}]},"#,
            r#"{"role":"tool","content":"a\nb","tool_call_id":"c1"}],"tools":[{"type":"function","function":{"name":"list-dir"}}],"#,
            r#""max_tokens":100,"temperature":0.25,"stream":true}"#
        )
    );
    let made = from_messages(&Prompted { tools: "[]", model: "", instruction: "", ..prompted }, true);
    assert!(made.contains("include_usage") && made.contains("max_completion_tokens"), "{made}");
    assert!(
        !made.contains("\"tools\"") && !made.contains("system") && read(made.as_bytes()).is_ok(),
        "{made}"
    );
}

fn stream(text: &str, step: usize) -> Result<(Vec<Delta>, String), Fault> {
    let (mut events, mut deltas, mut raw) = (Events::default(), Vec::new(), String::new());
    for piece in text.as_bytes().chunks(step) {
        events.push(piece)?;
        while let Some(event) = events.next(&mut deltas)? {
            raw.push_str(&String::from_utf8_lossy(event));
        }
    }
    events.end(&mut deltas)?;
    Ok((deltas, raw))
}

const STREAM: &str = concat!(
    ": hello\n\n",
    "data: {\"model\":\"gpt\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
    "data: {\"model\":\"gpt\",\"choices\":[{\"delta\":{\"content\":\"h\u{e9}\"},\"finish_reason\":null}],\"new\":1}\r\n\r\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\"{}\"}}]}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"hm\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n",
    "data: [DONE]\n\n"
);

#[test]
fn a_stream_is_read_and_passed_on_the_same_however_it_is_cut() {
    let call = |id: &str, name: &str, arguments: &str| Delta::Call {
        index: 1,
        id: id.to_owned(),
        name: name.to_owned(),
        arguments: arguments.to_owned(),
    };
    let model = || Delta::Model("gpt".to_owned());
    let want = vec![
        model(),
        Delta::Text(String::new()),
        model(),
        Delta::Text("h\u{e9}".to_owned()),
        call("x", "f", ""),
        call("", "", "{}"),
        Delta::Other,
        Delta::Finish(Finish::ToolCalls),
        Delta::Usage { tokens_in: 3, tokens_out: 4 },
        Delta::Done,
    ];
    for step in 1..STREAM.len() {
        assert_eq!(stream(STREAM, step), Ok((want.clone(), STREAM.to_owned())), "{step}");
    }
    assert!(!want[1].is_content() && want[3].is_content(), "an empty first piece is none");
}

#[test]
fn errors_and_garbage_in_a_stream_are_told() {
    let failed = |text: &str| match stream(text, 7).expect("an event").0.as_slice() {
        [Delta::Failed(fault)] => fault.clone(),
        other => panic!("{other:?}"),
    };
    let why = "x".to_owned();
    let quota = failed("data: {\"error\":{\"message\":\"x\",\"code\":\"insufficient_quota\"}}\n\n");
    assert_eq!(quota, ThoughtFault::Provider { status: 429, why: why.clone() });
    let old = failed("data: {\"object\":\"error\",\"message\":\"x\",\"code\":400}\n\n");
    assert_eq!(old, ThoughtFault::Question { status: 400, why });
    for garbage in ["data: {\n\n", "data: 5\n\n", "<html>\n\n", "data: {\"choices\":\n\n", "hello"] {
        assert_eq!(stream(garbage, 3), Err(Fault::Garbage), "{garbage}");
    }
    assert_eq!(stream(&"x".repeat(100_000), 8_000), Err(Fault::TooLarge));
    for odd in [
        "data: {\"choices\":5,\"usage\":[],\"model\":{}}\n\n",
        "data: {\"choices\":[5,[],{\"delta\":7}]}\n\n",
    ] {
        assert_eq!(stream(odd, 9).map(|(deltas, _)| deltas), Ok(Vec::new()), "{odd}");
    }
}

#[test]
fn an_answer_in_one_piece_is_looked_at_as_it_passes() {
    let pass = |text: &str| {
        let (mut passed, mut deltas) = (Passed::default(), Vec::new());
        text.as_bytes().chunks(5).try_for_each(|piece| passed.push(piece))?;
        passed.end(&mut deltas).map(|()| deltas)
    };
    let good = r#"{"id":"x","model":"m","choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let usage = Delta::Usage { tokens_in: 1, tokens_out: 2 };
    assert_eq!(pass(good), Ok(vec![Delta::Model("m".to_owned()), usage, Delta::Done]));
    assert!(matches!(pass(r#"{"error":{"message":"x","code":429}}"#).as_deref(), Ok([Delta::Failed(_)])));
    let long = format!(r#"{{"error":"{}"}}"#, "x".repeat(9_000));
    assert!(matches!(pass(&long).as_deref(), Ok([Delta::Failed(_)])));
    assert_eq!(pass("<html>"), Err(Fault::Garbage));
    assert_eq!(pass(""), Err(Fault::Garbage));
    assert_eq!(pass(&good[..40]), Err(Fault::Reset));
}

fn encoded(shape: Shape, deltas: &[Delta]) -> String {
    let keeps_calls = !matches!(shape, Shape::Events { .. });
    let (mut encoder, mut gather) =
        (Encoder::new(shape, 1, Wall(1_700_000_000_000), "m"), Gather::new(false, keeps_calls));
    let mut out = String::new();
    for delta in deltas {
        gather.take(delta);
        encoder.push(delta, &mut out);
    }
    encoder.end(&gather, 40, &mut out);
    out
}

fn pieces() -> Vec<Delta> {
    let call = Delta::Call {
        index: 0,
        id: "c".to_owned(),
        name: "f".to_owned(),
        arguments: r#"{"a":1}"#.to_owned(),
    };
    let usage = Delta::Usage { tokens_in: 10, tokens_out: 5 };
    let text = |text: &str| Delta::Text(text.to_owned());
    vec![
        Delta::Model("real".to_owned()),
        text("say \""),
        text("hi\"\n"),
        call,
        usage,
        Delta::Finish(Finish::Stop),
        Delta::Done,
    ]
}

#[test]
fn a_written_stream_reads_back_as_the_pieces_it_was_made_of() {
    let text = encoded(Shape::Events { with_usage: true }, &pieces());
    let (deltas, _) = stream(&text, 50).expect("a stream");
    let mut gather = Gather::new(true, true);
    deltas.iter().for_each(|delta| gather.take(delta));
    let reply = gather.reply(0);
    assert_eq!(
        (&*reply.text, &*reply.model, reply.tokens_in, reply.tokens_out),
        ("say \"hi\"\n", "real", 10, 5)
    );
    assert_eq!((&*reply.calls[0].id, &*reply.calls[0].arguments), ("c", r#"{"a":1}"#));
    assert_eq!(gather.finish(), Some(Finish::ToolCalls));
    assert!(
        text.ends_with("data: [DONE]\n\n") && text.matches("\"role\":\"assistant\"").count() == 1,
        "{text}"
    );
    assert!(!encoded(Shape::Events { with_usage: false }, &pieces()).contains("usage"));
}

#[test]
fn a_whole_answer_is_one_object_of_the_documented_shape() {
    let text = encoded(Shape::Whole, &pieces());
    let choice = json(&text).get("choices").and_then(|list| list.items().next()).expect("a choice");
    let content = choice.at(&["message", "content"]).and_then(Json::text);
    assert_eq!(content.as_deref(), Some("say \"hi\"\n"));
    assert_eq!(choice.get("finish_reason").and_then(Json::text).as_deref(), Some("tool_calls"));
    assert_eq!(json(&text).at(&["usage", "total_tokens"]).and_then(Json::u64), Some(15));
    assert_eq!(json(&text).get("object").and_then(Json::text).as_deref(), Some("chat.completion"));
    assert_eq!(json(&text).get("created").and_then(Json::u64), Some(1_700_000_000));
    let nothing = encoded(Shape::Whole, &[Delta::Done]);
    let choice = json(&nothing).get("choices").and_then(|list| list.items().next()).expect("a choice");
    assert_eq!(choice.get("finish_reason").and_then(Json::text).as_deref(), Some("stop"));

    let plain = encoded(Shape::Plain, &pieces());
    for path in [&["response"][..], &["message", "content"]] {
        assert_eq!(json(&plain).at(path).and_then(Json::text).as_deref(), Some("say \"hi\"\n"), "{plain}");
    }
    assert_eq!(json(&plain).get("done").and_then(Json::bool), Some(true));
    let long = encoded(Shape::Plain, &vec![Delta::Text("x".repeat(8_000)); 10]);
    let len = |path: &[&str]| json(&long).at(path).and_then(Json::text).map_or(0, |text| text.len());
    assert_eq!((len(&["response"]), len(&["message", "content"])), (80_000, 32 * 1024));
    assert_eq!(json(&long).at(&["message", "is_cut"]).and_then(Json::bool), Some(true));
}

#[test]
fn lines_are_those_of_ollama() {
    let text = encoded(Shape::Lines, &pieces());
    let mut lines = crate::wire::ollama::Lines::default();
    let mut deltas = Vec::new();
    lines.push(text.as_bytes(), &mut deltas).expect("lines");
    let mut gather = Gather::new(true, true);
    deltas.iter().for_each(|delta| gather.take(delta));
    let reply = gather.reply(0);
    assert_eq!((&*reply.text, reply.tokens_in, reply.tokens_out), ("say \"hi\"\n", 10, 5));
    assert_eq!((&*reply.calls[0].name, &*reply.calls[0].arguments), ("f", r#"{"a":1}"#));
    assert!(gather.is_whole());
}

#[test]
fn an_end_before_its_time_is_told_where_it_can_be() {
    let broken = |shape| {
        let mut out = String::new();
        Encoder::broken(shape, "connection broken", &mut out);
        out
    };
    let (deltas, _) = stream(&broken(Shape::Events { with_usage: false }), 9).expect("an event");
    assert!(matches!(&*deltas, [Delta::Failed(_)]), "{deltas:?}");
    assert_eq!(broken(Shape::Lines), "{\"error\":\"connection broken\"}\n");
    assert_eq!(broken(Shape::Whole) + &broken(Shape::Plain), "");
}

#[test]
fn lists_and_errors_have_openais_shape() {
    let list = models_body(&[("a\"", "openai"), ("b", "ollama")]);
    assert_eq!(model_names(list.as_bytes(), 9), ["a\"", "b"]);
    assert_eq!(model_names(list.as_bytes(), 1), ["a\""]);
    assert!(model_names(b"<html>", 9).is_empty());
    let error = error_body("no", "t", "", "c");
    assert_eq!(error, r#"{"error":{"message":"no","type":"t","param":null,"code":"c"}}"#);
    let made = question("m", &[("system", "s"), ("user", "u\"")], &["\n"]);
    assert!(read(made.as_bytes()).is_ok_and(|asked| asked.model == "m"), "{made}");
}
