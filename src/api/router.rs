//! From method and path to a row of the table.

use super::routes::{Method, Route};

/// What the table says to a request line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'r> {
    /// This row answers; a HEAD request finds the row of GET.
    Route(&'r Route),
    /// OPTIONS for a path that is there.
    Options,
    /// The path is there, the method is not.
    WrongMethod,
    /// Nothing is there.
    Nowhere,
}

/// Looks `path` up. One slash at the end more or less makes no difference; nothing is decoded, as no path of
/// the table holds a byte that needs it.
#[must_use]
pub fn find<'r>(table: &'r [Route], method: &str, path: &str) -> Found<'r> {
    let wanted = match method {
        "GET" | "HEAD" => Some(Method::Get),
        "POST" => Some(Method::Post),
        "DELETE" => Some(Method::Delete),
        _ => None,
    };
    let mut is_there = false;
    let places = Places::of(path);
    for route in table.iter().filter(|route| places.are_at(route)) {
        if Some(route.method) == wanted {
            return Found::Route(route);
        }
        is_there = true;
    }
    match (method, is_there) {
        ("OPTIONS", true) => Found::Options,
        ("OPTIONS", false) if path == "*" => Found::Options,
        (_, true) => Found::WrongMethod,
        (_, false) => Found::Nowhere,
    }
}

/// The value of `Allow` at `path`.
#[must_use]
pub fn allow(table: &[Route], path: &str) -> String {
    let places = Places::of(path);
    let has =
        |method| path == "*" || table.iter().any(|route| route.method == method && places.are_at(route));
    let mut allow = String::new();
    if has(Method::Get) {
        allow.push_str("GET, HEAD, ");
    }
    if has(Method::Post) {
        allow.push_str("POST, ");
    }
    if has(Method::Delete) {
        allow.push_str("DELETE, ");
    }
    allow.push_str("OPTIONS");
    allow
}

/// A path as the table's patterns are compared with it: without the slash at its end.
struct Places<'a> {
    path: &'a [u8],
    /// What is behind a first `/api`.
    doubled: Option<&'a [u8]>,
}

impl<'a> Places<'a> {
    fn of(path: &'a str) -> Self {
        let path = path.as_bytes();
        Self { path: trimmed(path), doubled: path.strip_prefix(b"/api").map(trimmed) }
    }

    fn are_at(&self, route: &Route) -> bool {
        let pattern = trimmed(route.path.as_bytes());
        matches_pattern(pattern, self.path)
            || (route.is_doubled && self.doubled.is_some_and(|path| matches_pattern(pattern, path)))
    }
}

/// Byte by byte, as every request asks this of most of the table. A parameter is a whole segment.
fn matches_pattern(mut pattern: &[u8], mut path: &[u8]) -> bool {
    loop {
        match (pattern, path) {
            ([], []) => return true,
            ([b'{', ..], [first, ..]) if *first != b'/' => {
                (pattern, path) = (behind_segment(pattern), behind_segment(path));
            }
            ([wanted, more @ ..], [given, rest @ ..]) if wanted == given => (pattern, path) = (more, rest),
            _ => return false,
        }
    }
}

fn behind_segment(path: &[u8]) -> &[u8] {
    let end = path.iter().position(|b| *b == b'/').unwrap_or(path.len());
    &path[end..]
}

fn trimmed(path: &[u8]) -> &[u8] {
    match path {
        [rest @ .., b'/'] => rest,
        _ => path,
    }
}

#[cfg(test)]
mod tests {
    use super::super::routes::ROUTES;
    use super::*;

    fn path_found(method: &str, path: &str) -> Option<&'static str> {
        match find(ROUTES, method, path) {
            Found::Route(route) => Some(route.path),
            _ => None,
        }
    }

    #[test]
    fn a_parameter_stands_for_one_segment() {
        let table = [Route { path: "/api/things/{id}/run", ..ROUTES[0] }];
        let is_found = |path| matches!(find(&table, "GET", path), Found::Route(_));
        assert!(is_found("/api/things/7/run"));
        assert!(is_found("/api/things/7/run/"));
        assert!(!is_found("/api/things//run"));
        assert!(!is_found("/api/things/7/8/run"));
        assert!(!is_found("/api/things/7"));
    }

    #[test]
    fn a_slash_at_the_end_makes_no_difference_and_two_do() {
        assert_eq!(path_found("GET", "/health/"), Some("/health"));
        assert_eq!(path_found("GET", "/api/webhooks/chainbot"), Some("/api/webhooks/chainbot/"));
        assert_eq!(path_found("GET", "/health//"), None);
        assert_eq!(path_found("GET", "//health"), None);
    }

    #[test]
    fn only_the_routes_that_the_python_service_doubles_are_doubled() {
        assert_eq!(
            path_found("POST", "/api/api/webhooks/chainbot/event"),
            Some("/api/webhooks/chainbot/event")
        );
        assert_eq!(path_found("GET", "/api/api/events"), None);
        assert_eq!(path_found("GET", "/api/health"), Some("/api/health"));
        assert_eq!(path_found("POST", "/api/api/api/webhooks/chainbot/event"), None);
    }

    #[test]
    fn head_goes_where_get_goes_and_nowhere_else() {
        assert_eq!(path_found("HEAD", "/status"), Some("/status"));
        assert_eq!(find(ROUTES, "HEAD", "/api/webhooks/chainbot/event"), Found::WrongMethod);
        assert_eq!(allow(ROUTES, "/api/webhooks/chainbot/event"), "POST, OPTIONS");
        assert_eq!(allow(ROUTES, "/api/webhooks/chainbot/health"), "GET, HEAD, POST, OPTIONS");
        assert_eq!(allow(ROUTES, "*"), "GET, HEAD, POST, DELETE, OPTIONS");
        assert_eq!(allow(ROUTES, "/api/gpt/conversation/a"), "GET, HEAD, DELETE, OPTIONS");
    }

    #[test]
    fn methods_are_told_apart_by_case() {
        assert_eq!(find(ROUTES, "get", "/health"), Found::WrongMethod);
    }
}
