//! Every route held against what its row declares, by the OpenAPI document that is made from the rows.

use miniserde::json::{Number, Value};

use super::routes::{Method, ROUTES, Takes};
use super::table_tests::{get, shown_answer};
use super::testing::{Ask, World};
use super::*;

const EVENT: &str = "/api/webhooks/chainbot/event";

fn object(value: &Value) -> &miniserde::json::Object {
    match value {
        Value::Object(object) => object,
        other => panic!("{other:?} is no object"),
    }
}

fn openapi() -> Value {
    let (status, body) = shown_answer(&World::full().ask(&get("/openapi.json")));
    assert_eq!(status, 200);
    miniserde::json::from_str(&body).unwrap()
}

#[test]
fn openapi_lists_exactly_the_table() {
    let document = openapi();
    let paths = object(&object(&document)["paths"]);
    let mut listed = Vec::new();
    let mut ids = Vec::new();
    for (path, item) in paths {
        for (method, operation) in object(item).iter().filter(|(name, _)| *name != "parameters") {
            listed.push(format!("{} {path}", method.to_ascii_uppercase()));
            ids.push(format!("{:?}", object(operation)["operationId"]));
        }
    }
    let mut wanted: Vec<_> =
        ROUTES.iter().map(|route| format!("{} {}", route.method.as_str(), route.path)).collect();
    listed.sort();
    wanted.sort();
    assert_eq!(listed, wanted);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), ROUTES.len(), "operation ids are unique");
}

#[test]
fn every_reference_of_openapi_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(key, value)| match value {
                Value::String(text) if key == "$ref" => found.push(text.clone()),
                value => references(value, found),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = openapi();
    let components = object(&object(&document)["components"]);
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.len() > ROUTES.len());
    for reference in found {
        let (section, name) = reference.strip_prefix("#/components/").unwrap().split_once('/').unwrap();
        assert!(object(&components[section]).contains_key(name), "{reference}");
    }
}

/// The part of JSON Schema that the schemas of this room use: type, enum, required, properties, items, $ref.
fn check_schema(schemas: &miniserde::json::Object, schema: &Value, value: &Value, at: &str) {
    let schema = object(schema);
    if let Some(Value::String(reference)) = schema.get("$ref") {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        return check_schema(schemas, &schemas[name], value, at);
    }
    if let Some(Value::Array(allowed)) = schema.get("enum") {
        assert!(allowed.iter().any(|one| format!("{one:?}") == format!("{value:?}")), "{at}: {value:?}");
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several
            .iter()
            .map(|one| match one {
                Value::String(one) => one.as_str(),
                other => panic!("{other:?}"),
            })
            .collect(),
        _ => Vec::new(),
    };
    assert!(
        types.is_empty() || types.iter().any(|one| has_type(value, one)),
        "{at} is no {types:?}: {value:?}"
    );
    match value {
        Value::Object(fields) => {
            if let Some(Value::Array(required)) = schema.get("required") {
                for name in required {
                    let Value::String(name) = name else { panic!("{name:?}") };
                    assert!(fields.contains_key(name), "{at} has no {name}");
                }
            }
            if let Some(properties) = schema.get("properties") {
                for (name, schema) in object(properties).iter().filter(|(name, _)| fields.contains_key(*name))
                {
                    check_schema(schemas, schema, &fields[name], &format!("{at}/{name}"));
                }
            }
        }
        Value::Array(items) => {
            for item in items.iter().filter(|_| schema.contains_key("items")) {
                check_schema(schemas, &schema["items"], item, &format!("{at}/-"));
            }
        }
        _ => {}
    }
}

fn has_type(value: &Value, name: &str) -> bool {
    match value {
        Value::Null => name == "null",
        Value::Bool(_) => name == "boolean",
        Value::Number(Number::F64(_)) => name == "number",
        Value::Number(_) => matches!(name, "number" | "integer"),
        Value::String(_) => name == "string",
        Value::Array(_) => name == "array",
        Value::Object(_) => name == "object",
    }
}

#[test]
fn every_route_answers_what_it_declares() {
    let document = openapi();
    let schemas = object(&object(&object(&document)["components"])["schemas"]);
    for world in [World::full(), World::bare(), World::thoughtful()] {
        for route in ROUTES {
            let body = match route.takes {
                Takes::Webhook(shape) | Takes::Body(shape) => schemas::example(shape),
                _ => "",
            };
            let response = match world.ask(&ask_of(route.method, route.path, body)) {
                Decision::Answer(response) => response,
                Decision::Intake { message, .. } => {
                    let id = EventId { seq: Default::default(), ledger: Default::default() };
                    intake_answer(
                        &crate::agent::effect::IntakeAnswer::Stored { id, duplicate: true },
                        &message,
                    )
                }
                Decision::Brain(asked) => brain_answer(*asked),
                Decision::Follow(_) => Response::text(200, "text/event-stream", String::new()),
                Decision::Broadcast { window, .. } => sockets::broadcast_answer(window, 2),
                Decision::Socket(plan) => panic!("{plan:?}"),
                Decision::Events(query) => {
                    let body = format!("{}{}", events::HEAD, events::tail(&query, None));
                    Response::text(200, "application/json", body)
                }
            };
            let declared = route.answers.iter().find(|(status, _)| *status == response.status);
            let (_, shape) = declared.unwrap_or_else(|| panic!("{} at {}", response.status, route.path));
            assert_eq!(response.content_type, shape.content_type(), "{}", route.path);
            if let Some((name, _)) = schemas::schema(*shape) {
                let text = std::str::from_utf8(&response.body).unwrap();
                let value: Value = miniserde::json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
                check_schema(schemas, &schemas[name], &value, route.path);
            }
        }
    }
}

pub(super) fn ask_of<'a>(method: Method, path: &'a str, body: &'a str) -> Ask<'a> {
    match method {
        Method::Get => get(path),
        Method::Post => Ask::post(path, body),
        Method::Delete => Ask::new("DELETE", path),
    }
}

/// A good answer of the brain to what was asked.
fn brain_answer(asked: brain::Asked) -> Response {
    use crate::agent::brain::speech::{AskAnswer, Message, Role, TurnAnswer, TurnEnd};
    use crate::agent::effect::DecisionAnswer;
    match asked {
        brain::Asked::Question { .. } => {
            Response::text(200, "application/json", r#"{"choices":[]}"#.to_owned())
        }
        brain::Asked::Say { saying, form } => {
            let turn = TurnAnswer {
                text: "hi".to_owned(),
                provider: "p".to_owned(),
                model: "m".to_owned(),
                tokens: 5,
                end: TurnEnd::Done,
            };
            brain::said(form, &saying.session, &AskAnswer::Turn(Box::new(turn)), 1_500)
        }
        brain::Asked::Show { session } => {
            let message = Message {
                role: Role::Assistant,
                text: "hi".to_owned(),
                at: crate::agent::time::Wall(0),
                calls: Vec::new(),
                call_id: String::new(),
                is_partial: true,
            };
            brain::conversation(&session, &[(1, message)])
        }
        brain::Asked::Decide { .. } | brain::Asked::Forget { .. } | brain::Asked::Stop { .. } => {
            brain::decided("it", DecisionAnswer::Done)
        }
    }
}

#[test]
fn every_problem_has_the_problem_schema() {
    let document = openapi();
    let schemas = object(&object(&object(&document)["components"])["schemas"]);
    let world = World::full();
    for ask in [get("/nowhere"), get("/api/events?limit=0&x=1"), get("/").afar(), Ask::post(EVENT, "[]")] {
        let Decision::Answer(response) = world.ask(&ask) else { panic!() };
        assert_eq!(response.content_type, "application/problem+json");
        let value: Value = miniserde::json::from_str(std::str::from_utf8(&response.body).unwrap()).unwrap();
        check_schema(schemas, &schemas["Problem"], &value, "problem");
        assert_eq!(format!("{:?}", object(&value)["status"]), format!("Number({})", response.status));
    }
}

/// Whether a value that no field takes, a list of a list, is refused for this one.
fn is_checked(path: &str, name: &str) -> bool {
    let body = format!(r#"{{"event_type":"x","{name}":[[1]]}}"#);
    let (status, answer) = shown_answer(&World::full().ask(&Ask::post(path, &body)));
    status == 422 && answer.contains(&format!(r##""pointer":"#/{name}""##))
}

#[test]
fn every_field_that_a_webhook_schema_types_is_checked() {
    for route in ROUTES {
        let Takes::Webhook(shape) = route.takes else { continue };
        let (_, schema) = schemas::schema(shape).unwrap();
        let schema: Value = miniserde::json::from_str(schema).unwrap();
        for (name, _) in object(&object(&schema)["properties"]) {
            assert!(is_checked(route.path, name), "{name} of {}", route.path);
        }
        assert!(!is_checked(route.path, "no_such_field"));
    }
}

#[test]
fn every_schema_is_json_and_every_webhook_example_fits_its_own() {
    let none = miniserde::json::Object::new();
    for (name, schema) in schemas::SHAPES.iter().filter_map(|shape| schemas::schema(*shape)) {
        assert!(miniserde::json::from_str::<Value>(schema).is_ok(), "{name}");
    }
    for route in ROUTES {
        let Takes::Webhook(shape) = route.takes else { continue };
        let (_, schema) = schemas::schema(shape).unwrap();
        let schema: Value = miniserde::json::from_str(schema).unwrap();
        let example: Value = miniserde::json::from_str(schemas::example(shape)).unwrap();
        check_schema(&none, &schema, &example, route.path);
    }
}
