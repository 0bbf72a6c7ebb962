//! Requests and what becomes of them, row by row.

use super::routes::{Endpoint, Method, ROUTES, Role};
use super::testing::{Ask, CANARY, World};
use super::*;

/// Status and body of an answer; an intake or a stream is shown as its debug text with status 0.
pub(super) fn shown_answer(decision: &Decision) -> (u16, String) {
    match decision {
        Decision::Answer(response) => (response.status, String::from_utf8(response.body.to_vec()).unwrap()),
        other => (0, format!("{other:?}")),
    }
}

fn check(world: &World, rows: &[(Ask<'_>, u16, &str)]) {
    for (index, (ask, status, part)) in rows.iter().enumerate() {
        let (found, body) = shown_answer(&world.ask(ask));
        assert_eq!(found, *status, "row {index}: {body}");
        assert!(body.contains(part), "row {index}: wanted {part} in {body}");
    }
}

pub(super) fn get(target: &str) -> Ask<'_> {
    Ask::new("GET", target)
}

const STARTED: &str = "/api/webhooks/chainbot/workflow/started";
const EVENT: &str = "/api/webhooks/chainbot/event";

#[test]
fn paths_and_methods() {
    check(
        &World::full(),
        &[
            (get("/"), 200, r#""service":"ChainBot","version":"1.2.3""#),
            (get("/?x=1"), 200, r#""alex_os_integration":true"#),
            (get("/health"), 200, r#""alex_os":{"status":"registered","health_status":"degraded""#),
            (get("/status"), 200, r#""clock":{"trust":"synced","may_judge":true}"#),
            (get("/status"), 200, r#""attention_reason":"say \"why\"\n""#),
            (get("/config"), 200, r#"{"server":{"port":9000}}"#),
            (get("/docs"), 200, "<title>ChainBot API</title>"),
            (get("/api/health"), 200, r#"{"status":"degraded","#),
            (
                get("/api/chainbot/alex-agents"),
                200,
                r#"[{"id":"agent-7","name":"chainbot","status":"running""#,
            ),
            (get("/api/chainbot/ai-agents"), 200, "[]"),
            (get("/api/chainbot/workflows"), 200, "[]"),
            (get("/api/chainbot/agents/ai"), 200, r#"{"agents":[],"count":0"#),
            (get("/api/websockets/stats"), 200, r#"{"total_connections":3"#),
            (
                get("/api/webhooks/chainbot/"),
                200,
                r#""workflow_started":"POST /api/webhooks/chainbot/workflow/started""#,
            ),
            (
                get("/api/api/webhooks/chainbot/health"),
                200,
                r#"{"status":"success","data":{"status":"registered""#,
            ),
            (Ask::new("HEAD", "/health"), 200, ""),
            (Ask::new("OPTIONS", "/health"), 204, ""),
            (Ask::new("OPTIONS", "*"), 204, ""),
            (Ask::new("OPTIONS", "/nowhere"), 404, "there is nothing at /nowhere"),
            (get("/nowhere"), 404, r#""type":"/docs#not-found""#),
            (get("/api/api/status"), 404, "not-found"),
            (get("/../etc/passwd"), 404, "not-found"),
            (get("/%68ealth"), 404, "not-found"),
            (Ask::new("POST", "/health"), 405, "POST is not offered here, GET, HEAD, OPTIONS are"),
            (Ask::new("DELETE", EVENT), 405, "DELETE is not offered here, POST, OPTIONS are"),
            (get(EVENT), 405, r#""type":"/docs#method-not-allowed""#),
            (Ask::new("TRACE", "/"), 405, "TRACE is not offered here"),
            (Ask::new("PRI", "/health"), 405, "PRI is not offered here"),
        ],
    );
}

#[test]
fn hosts_and_origins() {
    let host = |name| get("/health").without("host").with("host", name);
    let from = |origin| Ask::post(STARTED, "{}").with("origin", origin);
    check(
        &World::full(),
        &[
            (host("127.0.0.1:9000"), 200, ""),
            (host("[::1]:9000"), 200, ""),
            (host("pi.lan"), 200, ""),
            (host("evil.example"), 421, r#"Host \"evil.example\" is not a name of this machine"#),
            (host("localhost.evil.example"), 421, "the name that this machine has"),
            (host("evil.example").afar(), 200, r#""status":"degraded""#),
            (get("/health").without("host"), 400, "Host is there 0 times, wanted once"),
            (get("/health").with("host", "localhost"), 400, "Host is there 2 times, wanted once"),
            (host("a b"), 400, r#""type":"/docs#bad-header""#),
            (from("http://localhost:9000"), 0, "Intake"),
            (from("http://localhost:3000"), 403, r#"Origin \"http://localhost:3000\" is another site"#),
            (from("https://evil.example"), 403, r#""type":"/docs#cross-origin""#),
            (from("null"), 403, "cross-origin"),
            (from("http://localhost:9000").with("origin", "http://localhost:9000"), 403, "cross-origin"),
            (get("/status").with("origin", "https://evil.example"), 200, ""),
        ],
    );
}

#[test]
fn credentials() {
    let far = |target| get(target).afar();
    let bearer = "Bearer canary-5ecret";
    check(
        &World::full(),
        &[
            (far("/status"), 401, "callers from other machines need Authorization: Bearer"),
            (far("/").with("authorization", "Bearer wrong"), 401, r#""type":"/docs#unauthorized""#),
            (far("/").with("authorization", "Basic canary-5ecret"), 401, "unauthorized"),
            (far("/").with("authorization", "Bearer"), 401, "unauthorized"),
            (far("/").with("x-api-key", "canary-5ecre"), 401, "unauthorized"),
            (far("/").with("authorization", bearer), 200, "ChainBot"),
            (far("/").with("authorization", "bearer second-key"), 200, "ChainBot"),
            (far("/").with("x-api-key", "second-key"), 200, "ChainBot"),
            (far("/health").with("x-api-key", "second-key"), 200, "websocket_stats"),
            (far("/api/chainbot/workflows").with("authorization", "Bearer second-key"), 200, "[]"),
            (Ask::post(STARTED, "{}").afar(), 401, "unauthorized"),
            (Ask::post(STARTED, "{}").afar().with("authorization", bearer), 0, "workflow_started"),
            (far("/nowhere"), 404, "not-found"),
        ],
    );
    check(
        &World::bare(),
        &[(far("/"), 401, "none is configured"), (far("/").with("x-api-key", ""), 401, "")],
    );
}

#[test]
fn health_says_little_beyond_loopback() {
    let (status, body) = shown_answer(&World::full().ask(&get("/health").afar()));
    assert_eq!((status, body.as_str()), (200, r#"{"status":"degraded","timestamp":1795221371.123}"#));
}

#[test]
fn an_unhealthy_agent_answers_503_to_health_and_200_to_the_poll() {
    let mut world = World::full();
    world.status.health = crate::agent::effect::Health::Unhealthy;
    check(
        &world,
        &[
            (get("/health"), 503, r#"{"status":"unhealthy""#),
            (get("/api/health"), 200, r#"{"status":"unhealthy""#),
            (get("/api/chainbot/alex-agents"), 200, r#""status":"error""#),
        ],
    );
}

#[test]
fn event_queries() {
    check(
        &World::full(),
        &[
            (get("/api/events"), 0, "after: Seq(0)"),
            (get("/api/events?since=0&limit=1000"), 0, "limit: 1000"),
            (get("/api/events?since=000000000007-deadbeef"), 0, "after: Seq(7)"),
            (get("/api/events?since=000000000007-00000001"), 0, "after: Seq(0)"),
            (get("/api/events?type=workflow_*&severity=error"), 0, r#"kinds: ["workflow_*"]"#),
            (
                get("/api/events?from=2026-01-31T12:00:00Z&until=2027-01-01T00:00:00Z"),
                0,
                "until: Some(Wall(1798761600000))",
            ),
            (get("/api/events?from=yesterday"), 422, r#"from is \"yesterday\": must be a time like"#),
            (
                get("/api/events?until=2026-01-01T00:00:00Z&until=2026-01-01T00:00:00Z"),
                422,
                "until is there twice",
            ),
            (get("/api/events?limit=0"), 422, r#"limit is \"0\": must be a number from 1 to 1000"#),
            (get("/api/events?limit=1001"), 422, r#"limit is \"1001\": must be a number from 1 to 1000"#),
            (get("/api/events?limit=-1"), 422, r#"limit is \"-1\""#),
            (get("/api/events?limit=+5"), 422, r#"limit is \" 5\""#),
            (get("/api/events?limit="), 422, r#"limit is \"\""#),
            (get("/api/events?limit=99999999999999999999"), 422, "must be a number from 1 to 1000"),
            (get("/api/events?limit=1&limit=2"), 422, "limit is there twice, wanted once"),
            (
                get("/api/events?since=yesterday"),
                422,
                r#"since is \"yesterday\": must be the id of an event, or 0"#,
            ),
            (get("/api/events?since=0&since=0"), 422, "since is there twice"),
            (get("/api/events?type="), 422, r#"type is \"\": must be 1 to 64"#),
            (get("/api/events?type=a*b"), 422, r#"type is \"a*b\""#),
            (
                get("/api/events?severity=bad"),
                422,
                r#"severity is \"bad\": must be one of info, warning, error, critical"#,
            ),
            (
                get("/api/events?source=moon"),
                422,
                r#"source is \"moon\": must be one of chainbot, watchtower, alex_os"#,
            ),
            (
                get("/api/events?typ=x"),
                422,
                "typ is not a parameter: since, limit, type, severity, source, from, until are",
            ),
            (get("/api/events?type=%zz"), 422, "type=%zz is not percent-encoded UTF-8"),
            (get("/api/events?type=%ff"), 422, "is not percent-encoded UTF-8"),
            (
                get("/api/events?limit=x&since=y"),
                422,
                r#""errors":[{"parameter":"limit","detail":"limit is \"x\": must be a number from 1 to 1000"},{"parameter":"since""#,
            ),
            (get("/api/events?limit=5").afar(), 401, "unauthorized"),
        ],
    );
}

#[test]
fn webhooks() {
    let post = Ask::post;
    let typed = |media| post(STARTED, "{}").without("content-type").with("content-type", media);
    let long_id = "x".repeat(257);
    check(
        &World::full(),
        &[
            (post(STARTED, r#"{"workflow_id":"w"}"#), 0, r#"message: "Workflow started event processed""#),
            (post("/api/api/webhooks/chainbot/agent/spawned", "{}"), 0, r#"kind: "agent_spawned""#),
            (
                post(EVENT, r#"{"event_type":"door","x":1}"#),
                0,
                r#"JsonText("{\"event_type\":\"door\",\"x\":1}")"#,
            ),
            (typed("application/cloudevents+json; charset=utf-8"), 0, "Intake"),
            (typed("text/plain"), 415, r#"content-type is \"text/plain\": must be application/json"#),
            (typed("application/x-www-form-urlencoded"), 0, "Intake"),
            (typed("multipart/form-data; boundary=x"), 415, "unsupported-media-type"),
            (typed("application/json").with("content-type", "application/json"), 415, ""),
            (post(STARTED, "{}").without("content-type"), 0, "Intake"),
            (post(STARTED, "{}").with("content-encoding", "gzip"), 415, r#"content-encoding is \"gzip\""#),
            (post(STARTED, ""), 400, r#""type":"/docs#not-json""#),
            (post(STARTED, "{"), 400, "not-json"),
            (post(STARTED, "[]"), 422, r##""pointer":"#""##),
            (post(STARTED, "7"), 422, "body is not a JSON object"),
            (
                post(STARTED, r#"{"workflow_id":7}"#),
                422,
                r##""pointer":"#/workflow_id","detail":"workflow_id must be"##,
            ),
            (post(STARTED, r#"{"status":"failed"}"#), 422, r##""pointer":"#/status""##),
            (post(STARTED, r#"{"user_id":1,"duration":"x"}"#), 422, "; user_id must be a string"),
            (post(EVENT, "{}"), 422, r##""pointer":"#/event_type""##),
            (post(EVENT, r#"{"event_type":"a b"}"#), 422, "invalid-fields"),
            (post(STARTED, "{}").with("webhook-id", "m-1"), 0, "dedupe: Some("),
            (post(STARTED, "{}").with("idempotency-key", "m-1"), 0, "dedupe: Some("),
            (post(STARTED, "{}"), 0, "dedupe: None"),
            (
                post(STARTED, "{}").with("webhook-id", ""),
                400,
                "webhook-id must be there once, with 1 to 256 printable",
            ),
            (post(STARTED, "{}").with("webhook-id", &long_id), 400, "bad-header"),
            (post(STARTED, "{}").with("webhook-id", "a\tb"), 400, "bad-header"),
            (post(STARTED, "{}").with("webhook-id", "a").with("webhook-id", "b"), 400, "bad-header"),
            (post(STARTED, "{}").with("idempotency-key", "ü"), 400, "idempotency-key must be there once"),
        ],
    );
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let body = format!("{{\"a\":\"{}\"}}", "x".repeat(crate::agent::limits::BODY_BYTES_MAX));
    check(&World::full(), &[(Ask::post(STARTED, &body), 413, "at most 65536 are taken")]);
}

#[test]
fn the_same_id_is_the_same_message_under_both_names_and_on_every_path() {
    let world = World::full();
    let key = |ask: &Ask<'_>| match world.ask(ask) {
        Decision::Intake { dedupe, .. } => dedupe.unwrap(),
        other => panic!("{other:?}"),
    };
    let one = key(&Ask::post(STARTED, "{}").with("webhook-id", "m-1"));
    assert_eq!(one, key(&Ask::post("/api/webhooks/chainbot/health", "{}").with("idempotency-key", "m-1")));
    assert_eq!(one, key(&Ask::post(STARTED, "{}").with("idempotency-key", "x").with("webhook-id", "m-1")));
    assert_ne!(one, key(&Ask::post(STARTED, "{}").with("webhook-id", "m-2")));
}

/// The vector of the Standard Webhooks documents.
fn signed() -> Ask<'static> {
    Ask::post("/api/webhooks/chainbot/health", r#"{"email":"test@example.com","username":"test_user"}"#)
        .with("webhook-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk")
        .with("webhook-timestamp", "1649367553")
        .with("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=")
}

fn signing_world() -> World {
    let mut world = World::full();
    let secrets = ["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];
    world.security.webhook_secrets =
        secrets.map(|text| crate::agent::setup::Secret(text.to_owned())).to_vec();
    world.status.at = crate::agent::time::Wall(1_649_367_553_000);
    world
}

#[test]
fn where_secrets_are_configured_a_signature_is_needed_and_is_enough() {
    let mut world = signing_world();
    check(
        &world,
        &[
            (signed(), 0, "Intake"),
            (signed().afar(), 0, "Intake"),
            (signed().without("webhook-signature"), 401, "header webhook-signature is missing"),
            (signed().without("webhook-id"), 401, "header webhook-id is missing"),
            (signed().with("webhook-id", "other"), 401, "header webhook-id is missing"),
            (signed().without("webhook-id").with("webhook-id", "other"), 401, "fits none of the secrets"),
            (Ask::post(STARTED, "{}").afar().with("x-api-key", "second-key"), 401, "bad-signature"),
            (get("/api/webhooks/chainbot/"), 200, r#""signatures":true"#),
        ],
    );
    world.status.at.0 += 301_000;
    check(&world, &[(signed(), 401, "webhook-timestamp is 301 s old")]);
    world.status.trust = crate::agent::time::Trust::Floor;
    check(&world, &[(signed(), 0, "Intake")]);
}

#[test]
fn answers_carry_the_headers_that_their_status_asks_for() {
    let world = World::full();
    let header = |ask: &Ask<'_>, name: &str| match world.ask(ask) {
        Decision::Answer(response) => {
            response.headers.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(header(&Ask::new("PUT", "/health"), "allow").unwrap(), "GET, HEAD, OPTIONS");
    assert_eq!(header(&Ask::new("OPTIONS", EVENT), "allow").unwrap(), "POST, OPTIONS");
    assert_eq!(header(&get("/").afar(), "www-authenticate").unwrap(), "Bearer realm=\"chainbot\"");
    assert_eq!(header(&get("/status"), "cache-control").unwrap(), "no-store");
    assert!(header(&get("/docs"), "content-security-policy").unwrap().contains("default-src 'none'"));
}

#[test]
fn no_secret_is_in_any_answer() {
    for world in [World::full(), signing_world()] {
        for route in ROUTES.iter().filter(|route| route.method == Method::Get) {
            let (_, body) = shown_answer(&world.ask(&get(route.path)));
            for secret in [CANARY, "second-key", "whsec_C2FV"] {
                assert!(!body.contains(secret), "{secret} at {}", route.path);
            }
        }
    }
}

#[test]
fn every_webhook_of_the_wire_has_a_route_and_every_route_a_place() {
    for kind in crate::wire::webhook::WebhookKind::ALL {
        let path = format!("{}{}", crate::wire::webhook::PREFIX, kind.path());
        let is_there = |route: &&Route| route.path == path && route.endpoint == Endpoint::Webhook(kind);
        assert!(ROUTES.iter().any(|route| is_there(&route)), "{path}");
    }
    for (index, route) in ROUTES.iter().enumerate() {
        let earlier = &ROUTES[..index];
        assert!(!earlier.iter().any(|other| (other.method, other.path) == (route.method, route.path)));
        assert!(
            route.role > Role::Open || ["/health", "/ws/health", "/auth/login"].contains(&route.path),
            "{} is open",
            route.path
        );
        let is_login = route.endpoint == Endpoint::Login;
        assert!(route.method == Method::Get || route.role >= Role::Operator || is_login, "{}", route.path);
    }
}

#[test]
fn statuses_are_counted_within_a_bound() {
    let mut counters = HttpCounters::default();
    for status in 200..600 {
        counters.count(status);
    }
    counters.count(0);
    assert!(counters.rows().count() <= HttpCounters::STATUSES_MAX + 5);
    assert_eq!(counters.rows().map(|(_, count)| count).sum::<u64>(), 401);
}
