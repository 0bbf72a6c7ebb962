//! `GET /openapi.json`: the route table as OpenAPI 3.1. Made when asked for and not kept.

use super::events::{LIMIT_DEFAULT, LIMIT_MAX};
use super::json::Json;
use super::routes::{Role, Route, Shape, Takes};
use super::schemas;
use crate::agent::limits::DEDUPE_ID_BYTES_MAX;

/// The document for a table.
#[must_use]
pub fn render(table: &[Route], version: &str) -> String {
    let mut json = Json::object();
    json.key("openapi").text("3.1.0");
    json.key("info").open('{');
    json.key("title").text("ChainBot");
    json.key("version").text(version);
    json.key("description").text(
        "Callers on loopback need no credential. A path that has x-doubled is also served with /api before it.",
    );
    json.close('}');
    json.key("paths").open('{');
    for (index, route) in table.iter().enumerate() {
        let is_first = !table[..index].iter().any(|earlier| earlier.path == route.path);
        if is_first {
            path_item(&mut json, table, route.path);
        }
    }
    json.close('}');
    components(&mut json, table);
    json.end_object()
}

fn path_item(json: &mut Json, table: &[Route], path: &str) {
    json.key(path).open('{');
    path_parameters(json, path);
    for route in table.iter().filter(|route| route.path == path) {
        operation(json, route);
    }
    json.close('}');
}

fn path_parameters(json: &mut Json, path: &str) {
    let names = || path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
    if names().next().is_none() {
        return;
    }
    json.key("parameters").open('[');
    for name in names() {
        json.open('{');
        json.key("name").text(name);
        json.key("in").text("path");
        json.key("required").boolean(true);
        json.key("schema").raw(r#"{"type":"string"}"#);
        json.close('}');
    }
    json.close(']');
}

fn operation(json: &mut Json, route: &Route) {
    json.key(&route.method.as_str().to_ascii_lowercase()).open('{');
    json.key("operationId").text(&operation_id(route));
    json.key("summary").text(route.summary);
    json.key("x-role").text(route.role.as_str());
    if route.is_doubled {
        json.key("x-doubled").text(&format!("/api{}", route.path));
    }
    if route.role == Role::Open {
        json.key("security").raw("[]");
    }
    match route.takes {
        Takes::Nothing => {}
        Takes::EventsQuery => events_parameters(json, true),
        Takes::FollowQuery | Takes::SocketQuery => events_parameters(json, false),
        Takes::Broadcast => broadcast_input(json),
        Takes::SessionQuery => {
            json.key("parameters").open('[');
            parameter(
                json,
                "query",
                "session_id",
                "The conversation; without it, the default one",
                r#"{"type":"string"}"#,
            );
            json.close(']');
        }
        Takes::Body(shape) => body(json, shape),
        Takes::Webhook(shape) => webhook_input(json, shape),
    }
    responses(json, route);
    json.close('}');
}

/// `getApiEvents`: method and segments, each segment begun with a capital.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_ascii_lowercase();
    for word in route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let (first, rest) = word.split_at(1);
        id.push_str(&first.to_ascii_uppercase());
        id.push_str(rest);
    }
    id
}

fn parameter(json: &mut Json, place: &str, name: &str, help: &str, schema: &str) {
    json.open('{');
    json.key("name").text(name);
    json.key("in").text(place);
    json.key("description").text(help);
    json.key("schema").raw(schema);
    json.close('}');
}

fn broadcast_input(json: &mut Json) {
    json.key("parameters").open('[');
    parameter(json, "query", "message_type", "One of the documents' 26 types", r#"{"type":"string"}"#);
    json.close(']');
    json.key("requestBody")
        .raw(r#"{"required":true,"content":{"application/json":{"schema":{"type":"object"},"example":{}}}}"#);
}

fn events_parameters(json: &mut Json, ends: bool) {
    let limit =
        format!(r#"{{"type":"integer","minimum":1,"maximum":{LIMIT_MAX},"default":{LIMIT_DEFAULT}}}"#);
    let texts = r#"{"type":"array","items":{"type":"string"}}"#;
    let severities = r#"{"type":"array","items":{"enum":["info","warning","error","critical"]}}"#;
    let sources = r#"{"type":"array","items":{"enum":["chainbot","watchtower","alex_os"]}}"#;
    json.key("parameters").open('[');
    let since = "Id of the last event already seen, or 0 for the oldest kept";
    if ends {
        parameter(json, "query", "since", since, r#"{"type":"string","default":"0"}"#);
        parameter(json, "query", "limit", "Most events in the answer", &limit);
    } else {
        let since = format!("{since}; without it, only what comes");
        parameter(json, "query", "since", &since, r#"{"type":"string"}"#);
    }
    parameter(json, "query", "type", "Types wanted, repeated or with commas; may end in *", texts);
    parameter(json, "query", "severity", "Severities wanted, repeated or with commas", severities);
    parameter(json, "query", "source", "Sources wanted, repeated or with commas", sources);
    let moment = r#"{"type":"string","format":"date-time"}"#;
    parameter(json, "query", "from", "Events of this moment and later ones", moment);
    parameter(json, "query", "until", "Events before this moment", moment);
    json.close(']');
}

/// Name under `components`, name of the header, what it is.
const WEBHOOK_HEADERS: [(&str, &str, &str); 4] = [
    ("WebhookId", "webhook-id", "A name for this message: the same name again has no second effect"),
    ("IdempotencyKey", "Idempotency-Key", "As webhook-id, which goes before it"),
    ("WebhookTimestamp", "webhook-timestamp", "Seconds since 1970; needed where secrets are configured"),
    (
        "WebhookSignature",
        "webhook-signature",
        "Standard Webhooks v1 signatures, with a space between two; needed where secrets are configured",
    ),
];

fn webhook_headers(json: &mut Json) {
    let id = format!(r#"{{"type":"string","minLength":1,"maxLength":{DEDUPE_ID_BYTES_MAX}}}"#);
    json.key("parameters").open('{');
    for (index, (component, header, help)) in WEBHOOK_HEADERS.into_iter().enumerate() {
        json.key(component);
        parameter(json, "header", header, help, if index < 2 { &id } else { r#"{"type":"string"}"# });
    }
    json.close('}');
}

fn webhook_input(json: &mut Json, shape: Shape) {
    json.key("parameters").open('[');
    for (component, _, _) in WEBHOOK_HEADERS {
        reference(json, "parameters", component);
    }
    json.close(']');
    body(json, shape);
}

fn body(json: &mut Json, shape: Shape) {
    json.key("requestBody").open('{');
    json.key("required").boolean(true);
    json.key("content").open('{');
    json.key("application/json").open('{');
    schema_ref(json, shape);
    json.key("example").raw(schemas::example(shape));
    json.close('}');
    json.close('}');
    json.close('}');
}

fn schema_ref(json: &mut Json, shape: Shape) {
    json.key("schema").open('{');
    match schemas::schema(shape) {
        Some((name, _)) => json.key("$ref").text(&format!("#/components/schemas/{name}")),
        None => json.key("type").text("string"),
    }
    json.close('}');
}

fn responses(json: &mut Json, route: &Route) {
    json.key("responses").open('{');
    for (status, shape) in route.answers {
        json.key(&status.to_string());
        match shape {
            Shape::Problem => reference(json, "responses", &format!("Problem{status}")),
            shape => response(json, reason(*status), *shape),
        }
    }
    json.key("default");
    reference(json, "responses", "Problem");
    json.close('}');
}

fn response(json: &mut Json, description: &str, shape: Shape) {
    json.open('{');
    json.key("description").text(description);
    if !shape.content_type().is_empty() {
        json.key("content").open('{');
        json.key(shape.content_type()).open('{');
        schema_ref(json, shape);
        json.close('}');
        json.close('}');
    }
    json.close('}');
}

fn reference(json: &mut Json, section: &str, name: &str) {
    json.open('{');
    json.key("$ref").text(&format!("#/components/{section}/{name}"));
    json.close('}');
}

/// The problems that rows declare, and the one that any request may meet.
fn problems(json: &mut Json, table: &[Route]) {
    let mut statuses: Vec<u16> = table
        .iter()
        .flat_map(|route| route.answers)
        .filter(|(_, shape)| *shape == Shape::Problem)
        .map(|(status, _)| *status)
        .collect();
    statuses.sort_unstable();
    statuses.dedup();
    json.key("responses").open('{');
    for status in statuses {
        json.key(&format!("Problem{status}"));
        response(json, reason(status), Shape::Problem);
    }
    json.key("Problem");
    response(json, "A problem of the request: host, credential, path or method", Shape::Problem);
    json.close('}');
}

/// A description for each status of the table.
pub(super) fn reason(status: u16) -> &'static str {
    match status {
        101 => "The connection is a WebSocket from here on",
        200 => "Done",
        202 => "Kept, to be answered later",
        400 => "A header or the body cannot be read",
        401 => "Credential or signature missing or wrong",
        403 => "Not allowed, or from another site",
        404 => "There is none of this name",
        413 => "Body too large",
        415 => "Body type not supported",
        422 => "Fields or parameters not valid",
        429 => "Budget spent, or too many requests; see Retry-After",
        426 => "The path is a WebSocket",
        503 => "Cannot be served at the moment; see Retry-After",
        507 => "Disk full; see Retry-After",
        _ => "Other",
    }
}

fn components(json: &mut Json, table: &[Route]) {
    json.key("components").open('{');
    json.key("securitySchemes").raw(
        r#"{"bearer":{"type":"http","scheme":"bearer"},"apiKey":{"type":"apiKey","in":"header","name":"X-API-Key"}}"#,
    );
    webhook_headers(json);
    problems(json, table);
    json.key("schemas").open('{');
    for (name, schema) in schemas::SHAPES.iter().filter_map(|shape| schemas::schema(*shape)) {
        json.key(name).raw(schema);
    }
    json.close('}');
    json.close('}');
    json.key("security").raw(r#"[{"bearer":[]},{"apiKey":[]},{}]"#);
}
