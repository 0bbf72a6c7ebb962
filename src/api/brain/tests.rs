use super::*;
use crate::agent::brain::speech::{AskAnswer, Refusal, TurnAnswer, TurnEnd};
use crate::agent::effect::DecisionAnswer;
use crate::api::testing::{Ask, CANARY, World};
use crate::api::{Decision, Response};

fn asked(ask: &Ask<'_>) -> Result<Asked, Response> {
    match World::thoughtful().ask(ask) {
        Decision::Brain(asked) => Ok(*asked),
        Decision::Answer(response) => Err(response),
        other => panic!("{other:?}"),
    }
}

fn post(path: &'static str, body: &str) -> Result<Asked, Response> {
    asked(&Ask::post(path, body))
}

fn text(response: &Response) -> &str {
    std::str::from_utf8(&response.body).expect("answers are text")
}

#[test]
fn a_question_keeps_what_is_not_known_here() {
    let body = r#"{"model":"gpt-4o","messages":[{"role":"user","content":"hi"}],"stream":true,"logit_bias":{"5":1}}"#;
    let Ok(Asked::Question { question, body: kept, form, otherwise }) = post("/v1/chat/completions", body)
    else {
        panic!("no question");
    };
    assert_eq!((question.model.as_str(), kept.as_slice()), ("gpt-4o", body.as_bytes()));
    assert_eq!((form, otherwise), (QuestionForm::OpenAi { is_streamed: true, wants_usage: false }, None));
}

#[test]
fn a_question_that_may_wait_becomes_a_saying_with_all_that_went_before() {
    let body = r#"{"queue":true,"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#;
    let Ok(Asked::Question { otherwise: Some(saying), .. }) = post("/v1/chat/completions", body) else {
        panic!("no question that may wait");
    };
    assert_eq!((saying.text.as_str(), saying.instruction.as_str()), ("hi", "system: Be brief.\n"));
    assert!(saying.may_wait && saying.session.starts_with("queued-"), "{saying:?}");
}

#[test]
fn the_gateway_refuses_in_openais_shape() {
    for (body, part) in [
        ("{", r#""type":"invalid_request_error""#),
        ("[]", "body must be an object"),
        ("{}", r#""param":"messages""#),
        (r#"{"messages":[]}"#, "must not be empty"),
        (r#"{"messages":[{"role":"user","content":"a"}],"stream":"yes"}"#, r#""param":"stream""#),
        (r#"{"messages":[{"role":"user","content":"a"}],"model":5}"#, r#""param":"model""#),
    ] {
        let response = post("/v1/chat/completions", body).expect_err(body);
        assert_eq!((response.status, response.content_type), (400, "application/json"), "{body}");
        assert!(text(&response).contains(part), "{}", text(&response));
    }
    let plain =
        Ask::post("/v1/chat/completions", "{}").without("content-type").with("content-type", "text/plain");
    assert_eq!(asked(&plain).expect_err("text is no JSON").status, 415);
}

#[test]
fn chat_without_a_conversation_is_passed_through_and_with_one_is_said_to_it() {
    let messages = r#"{"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}"#;
    let Ok(Asked::Question { question, body, form, .. }) = post("/api/chat", messages) else {
        panic!("no question")
    };
    assert_eq!((question.model.as_str(), form), ("m", QuestionForm::Chat { is_streamed: false }));
    let wanted = format!("{},\"stream\":false}}", messages.strip_suffix('}').expect("an object"));
    assert_eq!(String::from_utf8_lossy(&body), wanted);
    for (body, session, said, form) in [
        (r#"{"session_id":"porch","messages":[{"role":"user","content":"c"}]}"#, "porch", "c", SayForm::Chat),
        (r#"{"message":"hi"}"#, "default", "hi", SayForm::Chat),
        (r#"{"message":"hi","chat_id":"x","stream":true}"#, "x", "hi", SayForm::Stream),
    ] {
        for path in ["/api/chat", "/chat/message", "/api/chat/message"] {
            let Ok(Asked::Say { saying, form: found }) = post(path, body) else { panic!("{path} {body}") };
            assert_eq!((saying.session.as_str(), saying.text.as_str(), found), (session, said, form));
        }
    }
}

#[test]
fn a_completion_is_said_to_its_agent_with_persona_and_context() {
    let body = r#"{"prompt":"p","agent_id":"code_assistant-2","provider":"office","model":"m","context_data":{"a": 1}}"#;
    for path in ["/api/gpt/completion", "/api/api/gpt/completion"] {
        let Ok(Asked::Say { saying, form: SayForm::Completion }) = post(path, body) else { panic!("{path}") };
        assert_eq!(saying.text, "Context: {\"a\":1}\n\np");
        assert_eq!((saying.session.as_str(), saying.provider.as_str()), ("code_assistant-2", "office"));
        assert!(saying.instruction.contains("programmer"));
    }
}

#[test]
fn bad_input_names_field_value_and_limit() {
    let long = format!(r#"{{"prompt":"{}"}}"#, "x".repeat(crate::agent::limits::MESSAGE_BYTES_MAX + 1));
    for (path, body, parts) in [
        ("/api/chat", "{}", vec!["No user message found.", "#/messages"]),
        ("/api/chat", r#"{"message":5}"#, vec!["message is a number, wanted a string", "#/message"]),
        (
            "/api/chat",
            r#"{"message":"a","session_id":"a/b"}"#,
            vec![r#"session_id is \"a/b\": must be 1 to 64"#],
        ),
        ("/api/chat", r#"{"message":"a","stream":1}"#, vec!["stream is a number, wanted true or false"]),
        (
            "/api/chat",
            r#"{"message":"a","persona":"clown"}"#,
            vec![r#"persona is \"clown\": must be one of"#],
        ),
        ("/api/gpt/completion", "{}", vec!["prompt is missing or empty", "#/prompt"]),
        ("/api/gpt/completion", &long, vec!["prompt has 32769 bytes, at most 32768 are taken"]),
        ("/api/approvals/000000000009-deadbeef", "{}", vec!["approved is missing"]),
        (
            "/api/approvals/000000000009-deadbeef",
            r#"{"approved":"yes"}"#,
            vec!["approved is a string, wanted true or false"],
        ),
    ] {
        let response = post(path, body).expect_err(body);
        assert_eq!(response.status, 422, "{}", text(&response));
        assert!(parts.iter().all(|part| text(&response).contains(part)), "{}", text(&response));
    }
    assert_eq!(post("/api/approvals/5", r#"{"approved":true}"#).expect_err("no id").status, 404);
    assert_eq!(post("/api/gpt/conversation/a%20b/stop", "").expect_err("no name").status, 404);
    assert_eq!(post("/api/gpt/conversation/attic/stop", "").expect_err("no conversation").status, 404);
    assert!(
        matches!(post("/api/gpt/conversation/porch/stop", ""), Ok(Asked::Stop { session }) if session == "porch")
    );
}

#[test]
fn who_asks_is_told_apart_by_credential() {
    let body = r#"{"message":"a"}"#;
    let caller = |ask: Ask<'_>| match asked(&ask) {
        Ok(Asked::Say { saying, .. }) => saying.caller.as_str(),
        other => panic!("{other:?}"),
    };
    let ask = || Ask::post("/api/chat", body);
    let bearer = format!("Bearer {CANARY}");
    assert_eq!(caller(ask()), "loopback");
    assert_eq!(caller(ask().with("authorization", "Bearer sk-of-a-program")), "loopback");
    assert_eq!(caller(ask().with("authorization", &bearer)), "token");
    assert_eq!(caller(ask().with("x-api-key", "second-key")), "api_key");
    assert_eq!(asked(&ask().afar().with("x-api-key", "second-key")).expect_err("it may look").status, 403);
    assert_eq!(asked(&ask().afar()).expect_err("nobody").status, 401);
}

fn turn(end: TurnEnd) -> AskAnswer {
    AskAnswer::Turn(Box::new(TurnAnswer {
        text: "hi".to_owned(),
        provider: "office".to_owned(),
        model: "m".to_owned(),
        tokens: 7,
        end,
    }))
}

#[test]
fn a_turn_is_told_in_every_shape_that_clients_read() {
    let chat = said(SayForm::Chat, "porch", &turn(TurnEnd::Done), 1_500);
    for part in [
        r#""response":"hi","message":{"role":"assistant","content":"hi"},"done":true,"done_reason":"done""#,
        r#""session_id":"porch""#,
        r#""processing_time":1.5"#,
    ] {
        assert!(text(&chat).contains(part), "{}", text(&chat));
    }
    let completion = said(SayForm::Completion, "porch", &turn(TurnEnd::TokenLimit), 0);
    for part in [
        r#""content":"hi","provider":"office","model":"m","agent_id":"porch","tokens_used":7"#,
        "token_limit",
    ] {
        assert!(text(&completion).contains(part), "{}", text(&completion));
    }
    let waits = said(SayForm::Chat, "porch", &AskAnswer::Waits, 0);
    assert_eq!(waits.status, 202);
    assert!(waits.headers.contains(&("location", "/api/gpt/conversation/porch".to_owned())));
}

#[test]
fn refusals_say_why_and_when_to_come_back() {
    let down = Refusal::AllDown { why: vec!["office: no answer in time".to_owned()], retry_after_s: 7 };
    let budget = Refusal::Budget { which: "tokens_per_hour", retry_after_s: 60 };
    let bad = Refusal::Question { status: 400, why: "context too long".to_owned() };
    for (refusal, status, openai_status, after, part) in [
        (Refusal::NoProvider, 503, 503, None, "no model is configured"),
        (down, 503, 503, Some("7"), "office: no answer in time"),
        (budget, 429, 429, Some("60"), "brain.tokens_per_hour is used up"),
        (bad, 422, 400, None, "context too long"),
        (Refusal::Unwritable { retry_after_s: 5 }, 503, 503, Some("5"), "ledger"),
        (Refusal::Stopping, 503, 503, Some("5"), "stopping"),
    ] {
        let plain = said(SayForm::Chat, "a", &AskAnswer::Refused(refusal.clone()), 0);
        let openai =
            question_refused(QuestionForm::OpenAi { is_streamed: true, wants_usage: false }, &refusal);
        assert_eq!((plain.status, openai.status), (status, openai_status), "{refusal:?}");
        for response in [&plain, &openai] {
            assert!(text(response).contains(part), "{}", text(response));
            let found = response.headers.iter().find(|(name, _)| *name == "retry-after");
            assert_eq!(found.map(|(_, value)| value.as_str()), after, "{refusal:?}");
        }
        assert!(text(&plain).contains("/docs#") && text(&openai).contains(r#"{"error":{"message":"#));
    }
}

#[test]
fn decisions_that_nobody_waits_for_are_404() {
    assert_eq!(decided("approval 1", DecisionAnswer::Done).status, 200);
    assert_eq!(decided("approval 1", DecisionAnswer::Unknown).status, 404);
    assert_eq!(decided("approval 1", DecisionAnswer::Unwritable { retry_after_s: 5 }).status, 503);
}

#[test]
fn models_and_providers_are_shown_without_their_keys() {
    let world = World::thoughtful();
    let shown = |path| match world.ask(&Ask::new("GET", path)) {
        Decision::Answer(response) => text(&response).to_owned(),
        other => panic!("{other:?}"),
    };
    for (path, parts) in [
        (
            "/v1/models",
            vec![r#"{"id":"llama3.2","object":"model""#, r#""owned_by":"office""#, r#""id":"gpt-4o""#],
        ),
        ("/api/models", vec![r#"{"name":"llama3.2","model":"llama3.2","provider":"office"}"#]),
        (
            "/api/gpt/health",
            vec![
                r#"{"overall":"healthy""#,
                r#""openai":"unhealthy: status 401: no""#,
                r#""maclink":"not_configured""#,
            ],
        ),
        (
            "/api/api/gpt/providers/status",
            vec![r#""office":{"available":true"#, r#""requests":4,"errors":1,"avg_response_time":1.5"#],
        ),
        ("/api/gpt/personas", vec!["creative_writer"]),
        ("/chat/sessions", vec![r#""session_id":"porch","messages":4"#]),
        (
            "/api/approvals",
            vec![r#""id":"000000000009-deadbeef""#, r#""subject":"uptime""#, r#""expires_in_s":2"#],
        ),
        ("/status", vec![r#""brain":{"providers":[{"name":"office""#]),
        ("/metrics", vec![r#"chainbot_model_provider_up{provider="openai"} 0"#]),
        ("/health", vec![r#""agent_brain":"healthy""#]),
    ] {
        let found = shown(path);
        assert!(parts.iter().all(|part| found.contains(part)), "{path}: {found}");
        assert!(!found.contains(CANARY), "{path}");
    }
}

#[test]
fn names_of_conversations_are_made_of_anything() {
    for (given, name) in
        [("", "default"), ("a b/c", "a-b-c"), ("ä.x", "-.x"), (&"y".repeat(99), &"y".repeat(64))]
    {
        assert_eq!(session_name(given), name);
    }
}
