//! The route table for people: `/docs` as one page that loads nothing, and `docs/api.md`.

use std::fmt::Write as _;

use super::events::{LIMIT_DEFAULT, LIMIT_MAX};
use super::openapi::reason;
use super::problem::Kind;
use super::routes::{Method, Route, Shape, Takes};
use super::schemas;

const INTRO: &[&str] = &[
    "Callers on loopback need no credential. Callers from other machines send `Authorization: Bearer <token>` or \
     `X-API-Key: <key>`; `/health` is open to all and tells them the status only.",
    "`HEAD` works wherever `GET` does, `OPTIONS` is answered with `Allow` everywhere. A slash at the end of a path makes \
     no difference. Times are RFC 3339 in UTC; the `timestamp` of `/` and `/health` is a number of seconds since 1970.",
    "A webhook is answered with 200 only after it is durable. The same `webhook-id` (or `Idempotency-Key`) again is \
     answered with `\"duplicate\": true` and has no second effect. Where secrets are configured, webhooks must carry \
     Standard Webhooks v1 signatures, and a valid one stands for a credential.",
];

/// The command that tries a route.
fn curl(route: &Route) -> String {
    let url = format!("http://localhost:9000{}", route.path);
    match route.takes {
        Takes::SocketQuery => format!("websocat '{}?since=0'", url.replacen("http", "ws", 1)),
        Takes::Nothing if route.answers.first().is_some_and(|(status, _)| *status == 101) => {
            format!("websocat {}", url.replacen("http", "ws", 1))
        }
        Takes::FollowQuery => format!("curl -N '{url}?since=0'"),
        Takes::Broadcast => {
            format!("curl '{url}?message_type=alert' -H 'content-type: application/json' -d '{{}}'")
        }
        Takes::Nothing if route.method == Method::Delete => format!("curl -X DELETE {url}"),
        Takes::Nothing if route.method == Method::Post => format!("curl -X POST {url}"),
        Takes::Nothing | Takes::SessionQuery => format!("curl {url}"),
        Takes::Body(shape) => {
            let body = schemas::example(shape);
            format!("curl {url} -H 'content-type: application/json' -d '{body}'")
        }
        Takes::EventsQuery => format!("curl '{url}?limit=10&type=workflow_*'"),
        Takes::Webhook(shape) => {
            let body = schemas::example(shape);
            format!("curl {url} -H 'content-type: application/json' -H 'webhook-id: demo-1' -d '{body}'")
        }
    }
}

fn events_query() -> String {
    format!(
        "Query: `since` (id of the last event seen, or 0), `limit` (1 to {LIMIT_MAX}, default {LIMIT_DEFAULT}), `type` (may \
         end in `*`), `severity` (info, warning, error, critical), `source` (chainbot, watchtower, alex_os); the last \
         three may be repeated or hold several values with commas. `from` and `until` (excluded) are times in RFC 3339: what was \
         written between them."
    )
}

const FOLLOW_QUERY: &str = "Query: `since` (id of the last event seen, or 0 for the oldest kept; without it only what comes), `type`, \
     `severity`, `source`, `from`, `until` as for `GET /api/events`.";

fn input(route: &Route) -> Option<String> {
    match route.takes {
        Takes::Nothing => None,
        Takes::EventsQuery => Some(events_query()),
        Takes::FollowQuery => Some(format!("{FOLLOW_QUERY} A `Last-Event-ID` goes before `since`.")),
        Takes::SocketQuery => Some(FOLLOW_QUERY.to_owned()),
        Takes::Broadcast => Some(
            "Query: `message_type`, one of the 26 types. Body: JSON object, the message's `data`.".to_owned(),
        ),
        Takes::SessionQuery => {
            Some("Query: `session_id`; without it, the conversation `default`.".to_owned())
        }
        Takes::Body(shape) | Takes::Webhook(shape) => Some(format!("Body: JSON object `{}`.", name(shape))),
    }
}

fn name(shape: Shape) -> &'static str {
    match shape {
        Shape::Metrics => "Prometheus text 0.0.4",
        Shape::Page => "HTML",
        Shape::Socket => "WebSocket",
        Shape::EventStream => "server-sent events",
        shape => schemas::schema(shape).map_or("text", |(name, _)| name),
    }
}

fn answers(route: &Route) -> String {
    let mut text = String::new();
    for (status, shape) in route.answers {
        let separator = if text.is_empty() { "" } else { "; " };
        let _ =
            write!(text, "{separator}{status} `{}` ({})", name(*shape), reason(*status).to_ascii_lowercase());
    }
    text
}

/// `docs/api.md`.
#[must_use]
pub fn markdown(table: &[Route]) -> String {
    let mut page = String::from(
        "# HTTP API\n\n<!-- Made from the route table. Renew with: BLESS=1 cargo test --lib api:: -->\n",
    );
    for paragraph in INTRO {
        let _ = write!(page, "\n{paragraph}\n");
    }
    page.push_str("\nThe shapes are in the OpenAPI document at `/openapi.json`.\n\n## Routes\n\n");
    page.push_str("| method | path | role | what |\n| --- | --- | --- | --- |\n");
    for route in table {
        let _ = writeln!(
            page,
            "| {} | `{}` | {} | {} |",
            route.method.as_str(),
            route.path,
            route.role.as_str(),
            route.summary
        );
    }
    for route in table {
        markdown_route(&mut page, route);
    }
    page.push_str(
        "\n## Problems\n\nErrors are `application/problem+json` (RFC 9457). `type` is one of these:\n\n",
    );
    page.push_str("| type | status | title |\n| --- | --- | --- |\n");
    for (status, anchor, title) in Kind::ALL.map(Kind::row) {
        let _ = writeln!(page, "| `/docs#{anchor}` | {status} | {title} |");
    }
    page
}

fn markdown_route(page: &mut String, route: &Route) {
    let _ = write!(page, "\n### {} {}\n\n{}.\n", route.method.as_str(), route.path, route.summary);
    if let Some(input) = input(route) {
        let _ = write!(page, "\n{input}\n");
    }
    let _ = write!(page, "\nAnswers: {}.\n", answers(route));
    if route.is_doubled {
        let _ = write!(page, "\nAlso at `/api{}`.\n", route.path);
    }
    let _ = write!(page, "\n```\n{}\n```\n", curl(route));
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;\
    background:#fff}h2{font-size:1rem;margin:2rem 0 .3rem}code,pre{font-family:ui-monospace,monospace;font-size:.9em}\
    pre{background:#f2f2f2;padding:.6rem;overflow-x:auto}td,th{text-align:left;padding:.1rem .8rem .1rem 0}\
    @media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}a{color:#8bf}}";

/// `/docs`.
#[must_use]
pub fn html(table: &[Route], version: &str) -> String {
    let mut page = String::with_capacity(16 * 1024);
    let _ = write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>ChainBot API</title><style>{STYLE}</style></head><body>\
         <h1>ChainBot {}</h1>",
        escaped(version)
    );
    for paragraph in INTRO {
        let _ = write!(page, "<p>{}</p>", marked(paragraph));
    }
    page.push_str("<p>The shapes are in <a href=\"/openapi.json\">openapi.json</a>.</p>");
    for route in table {
        html_route(&mut page, route);
    }
    page.push_str("<h2>Problems</h2><table><tr><th>type</th><th>status</th><th>title</th></tr>");
    for (status, anchor, title) in Kind::ALL.map(Kind::row) {
        let _ = write!(
            page,
            "<tr id=\"{anchor}\"><td><code>/docs#{anchor}</code></td><td>{status}</td><td>{title}</td></tr>"
        );
    }
    page.push_str("</table></body></html>\n");
    page
}

fn html_route(page: &mut String, route: &Route) {
    let _ = write!(
        page,
        "<h2><code>{} {}</code></h2><p>{}. Role: {}.",
        route.method.as_str(),
        escaped(route.path),
        escaped(route.summary),
        route.role.as_str()
    );
    if let Some(input) = input(route) {
        let _ = write!(page, "<br>{}", marked(&input));
    }
    let _ = write!(page, "<br>Answers: {}.", marked(&answers(route)));
    if route.is_doubled {
        let _ = write!(page, "<br>Also at <code>/api{}</code>.", escaped(route.path));
    }
    let _ = write!(page, "</p><pre>{}</pre>", escaped(&curl(route)));
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// Escaped, and every second piece between backticks as code.
fn marked(text: &str) -> String {
    let mut html = String::new();
    for (index, piece) in text.split('`').enumerate() {
        let (open, close) = if index % 2 == 1 { ("<code>", "</code>") } else { ("", "") };
        let _ = write!(html, "{open}{}{close}", escaped(piece));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::super::routes::ROUTES;
    use super::*;

    #[test]
    fn docs_api_md_says_what_the_table_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md");
        let wanted = markdown(ROUTES);
        if std::env::var_os("BLESS").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/docs")).unwrap();
            std::fs::write(path, &wanted).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(found == wanted, "docs/api.md is outdated: run BLESS=1 cargo test --lib api::");
    }

    #[test]
    fn the_page_lists_every_route_and_loads_nothing() {
        let page = html(ROUTES, "1.2.3");
        for route in ROUTES {
            assert!(
                page.contains(&format!("<code>{} {}</code>", route.method.as_str(), route.path)),
                "{}",
                route.path
            );
        }
        for (_, anchor, _) in Kind::ALL.map(Kind::row) {
            assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
        }
        for loader in ["src=", "<script", "<link", "@import", "url("] {
            assert!(!page.contains(loader), "{loader}");
        }
    }
}
