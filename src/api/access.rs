//! Who may: the Host and Origin checks, credentials, roles.
//!
//! A caller on loopback may do everything. That is safe only while a page in a browser on the same machine cannot
//! pass for it, so loopback callers must name this machine in `Host` (DNS rebinding), and nobody may change
//! anything from another site (`Origin`). Callers from elsewhere show a token or key: `who.rs`.

pub mod tokens;
mod who;

use std::net::{Ipv4Addr, Ipv6Addr};

use super::problem::{Kind, Problem};
use super::routes::{Role, Route};
use super::{Request, Response, View, shown};
use crate::agent::setup::Secret;
use crate::wire::jwt::Key;
use tokens::Tokens;
pub use who::{ADMIN, API_KEY, Shown, WHO_BYTES_MAX, Who, WhoKind};
pub(super) use who::{shows, who, who_shows};

/// The secrets of the open port, and the names it goes by. Made by the shell from the config.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Accepted as `Authorization: Bearer <token>` or `X-API-Key: <token>`; allows everything.
    pub token: Option<Secret>,
    /// A second one, likewise: what ALEX OS is given as `CHAINBOT_API_KEY`.
    pub api_key: Option<Secret>,
    /// What that one allows.
    pub api_key_role: Role,
    /// What callers on this machine may do without showing anything; `Open`: no more than others.
    pub loopback_role: Role,
    /// Keys of JSON Web Tokens, at most two: the first signs, each verifies.
    pub keys: Vec<Key>,
    /// The tokens that were made here.
    pub tokens: Tokens,
    /// Standard Webhooks secrets (`whsec_...`), the newest first. Empty: webhooks are not signed.
    pub webhook_secrets: Vec<Secret>,
    /// Names of this machine beside `localhost` and addresses, without port. Compared without case.
    pub host_names: Vec<String>,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            token: None,
            api_key: None,
            api_key_role: Role::Viewer,
            loopback_role: Role::Admin,
            keys: Vec::new(),
            tokens: Tokens::default(),
            webhook_secrets: Vec::new(),
            host_names: Vec::new(),
        }
    }
}

/// Checks that there is one `Host`, and that a loopback caller means this machine by it.
pub(super) fn check_host(view: &View<'_>, request: &Request<'_>) -> Result<(), Response> {
    if request.header_count("host") != 1 {
        let detail = format!("Host is there {} times, wanted once", request.header_count("host"));
        return Err(Problem::new(Kind::BadHeader, detail).into());
    }
    let host = request.header("host").unwrap_or("");
    let Some(name) = host_name(host) else {
        let detail = format!("Host \"{}\" is no name or address with an optional port", shown(host));
        return Err(Problem::new(Kind::BadHeader, detail).into());
    };
    if !request.peer_is_loopback || is_own_name(name, &view.security.host_names) {
        return Ok(());
    }
    let detail = format!(
        "Host \"{}\" is not a name of this machine: use localhost, an address, or the name that this machine has",
        shown(name)
    );
    Err(Problem::new(Kind::WrongHost, detail).into())
}

/// The host of `host[:port]`, brackets of an IPv6 address removed.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => {
            let (name, port) = rest.split_once(']')?;
            name.parse::<Ipv6Addr>().ok()?;
            (name, port)
        }
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |digits: &str| digits.len() <= 5 && digits.bytes().all(|b| b.is_ascii_digit());
    let is_name_byte = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
    let is_good = !name.is_empty()
        && name.bytes().all(is_name_byte)
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    is_good.then_some(name)
}

fn is_own_name(name: &str, own: &[String]) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok()
        || name.parse::<Ipv6Addr>().is_ok()
        || own.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Checks that a request which changes something does not come from another site's page.
pub(super) fn check_origin(request: &Request<'_>) -> Result<(), Response> {
    if matches!(request.method, "GET" | "HEAD" | "OPTIONS") {
        return Ok(());
    }
    check_same_site(request)
}

/// Checks that a request does not come from another site's page. A page may open sockets to anywhere, and the
/// browser asks nobody: so the upgrade is checked as what changes something is.
pub(super) fn check_same_site(request: &Request<'_>) -> Result<(), Response> {
    if request.header_count("origin") == 0 {
        return Ok(());
    }
    let origin = request.header("origin").unwrap_or("");
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let host = request.header("host").unwrap_or("");
    let is_same = request.header_count("origin") == 1
        && authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host));
    if is_same {
        return Ok(());
    }
    let detail = format!("Origin \"{}\" is another site than Host \"{}\"", shown(origin), shown(host));
    Err(Problem::new(Kind::CrossOrigin, detail).into())
}

/// Whether there is any credential to show.
pub(super) fn has_secrets(security: &Security) -> bool {
    security.token.is_some()
        || security.api_key.is_some()
        || !security.keys.is_empty()
        || !security.tokens.list().is_empty()
}

/// Checks that `role` is enough for `route`.
pub(super) fn check_role(security: &Security, route: &Route, role: Role) -> Result<(), Response> {
    if role >= route.role {
        return Ok(());
    }
    if role > Role::Open {
        let detail =
            format!("the role {} is needed, the credential has {}", route.role.as_str(), role.as_str());
        return Err(Problem::new(Kind::Forbidden, detail).into());
    }
    Err(unauthorized(security))
}

fn unauthorized(security: &Security) -> Response {
    let detail = if has_secrets(security) {
        "callers from other machines need Authorization: Bearer <token> or X-API-Key: <key>"
    } else {
        "callers from other machines need a credential, and none is configured: see `chainbot help token`"
    };
    Problem::new(Kind::Unauthorized, detail).response().with("www-authenticate", "Bearer realm=\"chainbot\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_secret_equals_nothing() {
        assert!(who::is_equal("s3cret", "s3cret"));
        assert!(!who::is_equal("s3cret", "s3cre"));
        assert!(!who::is_equal("s3cret", "s3crets"));
        assert!(!who::is_equal("", ""));
    }

    #[test]
    fn a_host_is_read_with_and_without_port() {
        for (host, name) in [
            ("localhost", "localhost"),
            ("localhost:9000", "localhost"),
            ("127.0.0.1:9000", "127.0.0.1"),
            ("[::1]:9000", "::1"),
            ("[::1]", "::1"),
            ("evil.example:80", "evil.example"),
        ] {
            assert_eq!(host_name(host), Some(name), "{host}");
        }
        for bad in
            ["", ":9000", "a b", "a/b", "a:b", "a:999999", "[::1", "[x]", "::1", "user@host", "a,b", "[::1]x"]
        {
            assert_eq!(host_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_name_that_only_looks_like_an_own_one_is_foreign() {
        let own = ["pi.lan".to_owned()];
        for good in ["localhost", "LOCALHOST", "localhost.", "app.localhost", "192.168.1.9", "::1", "PI.lan"]
        {
            assert!(is_own_name(good, &own), "{good}");
        }
        for bad in [
            "localhost.evil.example",
            "127.0.0.1.nip.io",
            "notlocalhost",
            "pi.lan.evil.example",
            "2130706433",
        ] {
            assert!(!is_own_name(bad, &own), "{bad}");
        }
    }
}
