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
    if !table.iter().any(|route| is_at(route, path)) {
        return if (method, path) == ("OPTIONS", "*") { Found::Options } else { Found::Nowhere };
    }
    let wanted = match method {
        "GET" | "HEAD" => Method::Get,
        "POST" => Method::Post,
        "DELETE" => Method::Delete,
        "OPTIONS" => return Found::Options,
        _ => return Found::WrongMethod,
    };
    match table.iter().find(|route| route.method == wanted && is_at(route, path)) {
        Some(route) => Found::Route(route),
        None => Found::WrongMethod,
    }
}

/// The value of `Allow` at `path`.
#[must_use]
pub fn allow(table: &[Route], path: &str) -> String {
    let has = |method| path == "*" || table.iter().any(|route| route.method == method && is_at(route, path));
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

fn is_at(route: &Route, path: &str) -> bool {
    matches_pattern(route.path, path)
        || (route.is_doubled
            && path.strip_prefix("/api").is_some_and(|rest| matches_pattern(route.path, rest)))
}

fn matches_pattern(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (trimmed(pattern), trimmed(path));
    let mut wanted = pattern.split('/');
    let mut given = path.split('/');
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given || (is_param(wanted) && !given.is_empty()) => {}
            _ => return false,
        }
    }
}

fn trimmed(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

fn is_param(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
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
