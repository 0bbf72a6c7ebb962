use super::*;
use crate::agent::effect::Health;
use crate::agent::event::{JsonText, Source};
use crate::agent::ids::{CorrelationId, LedgerId, Seq};
use crate::agent::input::Sample;
use crate::agent::setup::Identity;

fn setup() -> Setup {
    Setup {
        identity: Identity {
            name: "chainbot".to_owned(),
            version: "1.0.0".to_owned(),
            capabilities: vec!["gui".to_owned()],
            port: 9000,
            ..Identity::default()
        },
        alexos: Some(AlexosSetup {
            registry_url: "http://alex:8000".to_owned(),
            webhook_url: "http://pi:9000/api/webhooks/chainbot".to_owned(),
            host_header: "localhost".to_owned(),
            request_timeout_ms: 30_000,
            ..AlexosSetup::default()
        }),
        ..Setup::default()
    }
}

fn event(path: EventsPath) -> Call {
    let event = Event {
        seq: Seq(66),
        at: Wall(1_795_221_371_123),
        kind: "workflow_failed".to_owned(),
        source: Source::Chainbot,
        severity: Severity::Error,
        message: "workflow \"w\" failed".to_owned(),
        metadata: JsonText(r#"{"workflow_id":"w-1","user_id":7,"x":1.50}"#.to_owned()),
    };
    Call::AlexosEvent { event: Box::new(event), id: EventId { seq: Seq(66), ledger: LedgerId(1) }, path }
}

fn report(path: EventsPath) -> Call {
    let report = HealthReport {
        at: Wall(0),
        id: CorrelationId(5),
        health: Health::Degraded,
        active_workflows: 2,
        workflow_blockers: vec![],
        attention: Some("not registered".to_owned()),
        gpt_status: "not_configured",
        active_agents: 3,
        sample: Sample {
            cpu_percent: 25.512,
            sockets: 5,
            log_excerpt: vec!["a".to_owned(), "b".to_owned()],
            ..Sample::default()
        },
    };
    Call::AlexosReport { report: Box::new(report), path }
}

fn sent(call: &Call) -> (String, String) {
    let request = encode(call, &setup()).unwrap();
    assert_eq!(request.guard, AddressGuard::Any);
    assert_eq!(request.timeout_ms, 30_000);
    let body = String::from_utf8(request.body).unwrap();
    assert!(body.is_empty() || Json::parse(body.as_bytes()).is_ok(), "{body}");
    (format!("{} {}", request.method, request.url), body)
}

fn reply(status: u16, body: &str) -> CallResult {
    Ok(HttpReply { status, body: body.as_bytes().to_vec(), ..HttpReply::default() })
}

const REGISTER: Call = Call::AlexosRegister { at: Wall(0) };

#[test]
fn a_registration_carries_the_names_of_both_clients() {
    let (line, body) = sent(&REGISTER);
    assert_eq!(line, "POST http://alex:8000/api/agents/register");
    let names: Vec<_> =
        Json::parse(body.as_bytes()).unwrap().fields().map(|(name, _)| name.into_owned()).collect();
    assert_eq!(
        names.join(" "),
        "agent_name name agent_version version description role capabilities ui_features endpoints port \
         health_endpoint docs_endpoint event_bus_url webhook_url registration_time"
    );
    assert!(
        body.contains(r#""port":9000,"#)
            && body.contains(r#""registration_time":"1970-01-01T00:00:00.000Z""#)
    );
}

#[test]
fn the_host_header_is_overridden_for_alex_os_only() {
    let host = |call: &Call| {
        let request = encode(call, &setup()).unwrap();
        request.headers.into_iter().find(|(name, _)| *name == "host").map(|(_, value)| value)
    };
    assert_eq!(host(&REGISTER).as_deref(), Some("localhost"));
    assert_eq!(host(&Call::AlexosCanon).as_deref(), Some("localhost"));
    let Call::AlexosReport { report, .. } = report(EventsPath::Public) else { unreachable!() };
    assert_eq!(host(&Call::WebhookUrlReport { report }), None);
}

#[test]
fn an_event_goes_out_on_the_documented_path_in_the_documented_envelope() {
    let (line, body) = sent(&event(EventsPath::Documented));
    assert_eq!(line, "POST http://alex:8000/api/webhooks/chainbot/workflow_failed");
    assert_eq!(
        body,
        r#"{"id":"000000000042-00000001","event_type":"workflow_failed","timestamp":"2026-11-21T00:36:11.123Z","source":"chainbot","data":{"workflow_id":"w-1","user_id":7,"x":1.50},"severity":"error","requires_attention":true,"message":"workflow \"w\" failed","agent_id":null,"workflow_id":"w-1","user_id":null}"#
    );
}

#[test]
fn an_event_goes_out_on_the_public_path_inside_the_payload() {
    let (line, body) = sent(&event(EventsPath::Public));
    assert_eq!(line, "POST http://alex:8000/api/events/api/events/");
    assert_eq!(
        body,
        r#"{"event_type":"workflow_failed","severity":"error","payload":{"id":"000000000042-00000001","message":"workflow \"w\" failed","timestamp":"2026-11-21T00:36:11.123Z","source":"chainbot","data":{"workflow_id":"w-1","user_id":7,"x":1.50}},"source":"chainbot","agent_uuid":null}"#
    );
}

#[test]
fn a_report_has_fourteen_fields_on_every_path() {
    let (line, body) = sent(&report(EventsPath::Documented));
    assert_eq!(line, "POST http://alex:8000/api/webhooks/chainbot/health_report");
    let json = Json::parse(body.as_bytes()).unwrap();
    let data = json.get("data").unwrap();
    assert_eq!(data.fields().count(), 14);
    assert_eq!(
        data.get("system_resources").unwrap().raw(),
        r#"{"cpu_usage":25.51,"memory_usage":0,"disk_usage":0,"network_usage":0}"#
    );
    assert_eq!(data.get("log_excerpt").unwrap().text().unwrap(), "a\nb");
    assert_eq!(data.get("workflow_state").unwrap().raw(), "\"running\"");
    assert_eq!(json.get("requires_attention").unwrap().raw(), "true");

    let (line, body) = sent(&report(EventsPath::Public));
    assert_eq!(line, "POST http://alex:8000/api/events/api/events/");
    let json = Json::parse(body.as_bytes()).unwrap();
    assert_eq!(json.at(&["payload", "data"]), Some(data));
    assert_eq!(json.at(&["payload", "message"]).unwrap().raw(), "\"health: degraded (not registered)\"");

    let Call::AlexosReport { report, .. } = report(EventsPath::Public) else { unreachable!() };
    let (line, body) = sent(&Call::WebhookUrlReport { report });
    assert_eq!(line, "POST http://pi:9000/api/webhooks/chainbot/health");
    assert_eq!(body, data.raw());
    assert!(crate::wire::webhook::decode(crate::wire::webhook::WebhookKind::Health, body.as_bytes()).is_ok());
}

#[test]
fn a_peer_that_is_not_configured_gets_no_request() {
    assert_eq!(encode(&REGISTER, &Setup::default()), None);
    let mut setup = setup();
    setup.alexos.as_mut().unwrap().webhook_url.clear();
    let Call::AlexosReport { report, .. } = report(EventsPath::Public) else { unreachable!() };
    assert_eq!(encode(&Call::WebhookUrlReport { report }, &setup), None);
}

#[test]
fn answers_to_an_event_are_told_apart() {
    let refused = |status, why: &str| Verdict::Refused { status, why: why.to_owned() };
    let denied = |status, why: &str| Verdict::Denied { status, why: why.to_owned() };
    let again = |status| Verdict::Retry { fault: Fault::Status(status), after_ms: None };
    let table = [
        (reply(200, r#"{"id":1}"#), Verdict::Accepted),
        (reply(201, ""), Verdict::Accepted),
        (reply(204, ""), Verdict::Accepted),
        (reply(200, "<html>log in first</html>"), retry(Fault::Garbage)),
        (reply(404, r#"{"detail":"Not Found"}"#), Verdict::NotOffered { status: 404 }),
        (reply(405, r#"{"detail":"Method Not Allowed"}"#), Verdict::NotOffered { status: 405 }),
        (reply(501, ""), Verdict::NotOffered { status: 501 }),
        (reply(500, "Internal Server Error"), again(500)),
        (reply(502, ""), again(502)),
        (reply(503, ""), again(503)),
        (reply(504, ""), again(504)),
        (reply(408, ""), again(408)),
        (reply(425, ""), again(425)),
        (reply(429, ""), again(429)),
        (reply(307, ""), again(307)),
        (reply(400, r#"{"detail":"Event creation failed: no such table: events"}"#), again(400)),
        (reply(400, r#"{"detail":"Event creation failed: This transaction is closed"}"#), again(400)),
        (reply(400, r#"{"detail":"(x) This transaction is closed"}"#), again(400)),
        (
            reply(400, "Invalid host header"),
            denied(
                400,
                "Invalid host header: set alex_os.host_header to a name that ALEX OS accepts, such as localhost",
            ),
        ),
        (reply(400, r#"{"detail":"no"}"#), refused(400, "no")),
        (reply(401, r#"{"detail":"Not authenticated"}"#), denied(401, "Not authenticated")),
        (reply(403, ""), denied(403, "")),
        (
            reply(422, r#"{"detail":[{"msg":"Input should be a valid string"}]}"#),
            refused(422, "Input should be a valid string"),
        ),
        (Err(Fault::Reset), retry(Fault::Reset)),
        (Err(Fault::Timeout), retry(Fault::Timeout)),
        (Err(Fault::TooLarge), retry(Fault::TooLarge)),
    ];
    for (result, want) in table {
        assert_eq!(decode(&event(EventsPath::Public), &result), Outcome::Delivered(want), "{result:?}");
    }
}

#[test]
fn retry_after_is_passed_on() {
    let reply = HttpReply { status: 503, retry_after: Some("7".to_owned()), ..HttpReply::default() };
    let want = Verdict::Retry { fault: Fault::Status(503), after_ms: Some(7_000) };
    assert_eq!(decode(&event(EventsPath::Public), &Ok(reply)), Outcome::Delivered(want));
}

#[test]
fn a_registration_remembers_the_id_it_was_given() {
    for (body, id) in [
        (r#"{"agent_id":"a-1","id":"b"}"#, Some("a-1")),
        (r#"{"id":7,"token":"secret"}"#, Some("7")),
        (r#"{"status":"ok","agent":{"id":"x"}}"#, Some("x")),
        (r#"{"agent_id":null,"data":{"uuid":"u"}}"#, Some("u")),
        (r#"{"agent_id":"a\nb"}"#, None),
        (r#"{"agent_id":["a"]}"#, None),
        ("{}", None),
        ("null", None),
        ("[1]", None),
        ("", None),
        (" \n", None),
    ] {
        let want = Outcome::Registered(Verdict::Accepted, id.map(str::to_owned));
        assert_eq!(decode(&REGISTER, &reply(201, body)), want, "{body}");
    }
    let long = format!(r#"{{"id":"{}"}}"#, "a".repeat(129));
    assert_eq!(decode(&REGISTER, &reply(200, &long)), Outcome::Registered(Verdict::Accepted, None));
}

#[test]
fn a_registration_is_not_taken_by_a_refusal_or_a_web_page() {
    for (result, want) in [
        (reply(405, r#"{"id":"no"}"#), Verdict::NotOffered { status: 405 }),
        (reply(200, "<!doctype html>"), retry(Fault::Garbage)),
        (reply(200, "{broken"), retry(Fault::Garbage)),
        (Err(Fault::Refused), retry(Fault::Refused)),
    ] {
        assert_eq!(decode(&REGISTER, &result), Outcome::Registered(want, None), "{result:?}");
    }
}

#[test]
fn a_canon_is_read_leniently_and_bounded() {
    let names = |body: &str| match decode(&Call::AlexosCanon, &reply(200, body)) {
        Outcome::Canon(Verdict::Accepted, entries) => {
            entries.into_iter().map(|entry| format!("{}@{}", entry.name, entry.version)).collect::<Vec<_>>()
        }
        other => panic!("{body}: {other:?}"),
    };
    let agents = r#"[{"name":"a","version":"1","capabilities":[]},{"version":"2"},5,{"agent_name":"b"},{"name":""},{"name":7}]"#;
    assert_eq!(names(&format!("{{\"agents\":{agents}}}")), ["a@1", "b@"]);
    assert_eq!(names(agents), ["a@1", "b@"]);
    assert!(names("{}").is_empty() && names("7").is_empty() && names(r#"{"agents":{"a":1}}"#).is_empty());
    let many = format!("[{}]", vec![r#"{"name":"a"}"#; CANON_MAX + 9].join(","));
    assert_eq!(names(&many).len(), CANON_MAX);
    assert_eq!(
        decode(&Call::AlexosCanon, &reply(200, "<html>")),
        Outcome::Canon(retry(Fault::Garbage), Vec::new())
    );
    assert_eq!(
        decode(&Call::AlexosCanon, &reply(404, r#"{"agents":[{"name":"a"}]}"#)),
        Outcome::Canon(Verdict::NotOffered { status: 404 }, Vec::new())
    );
}
