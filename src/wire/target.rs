//! The parts of a URL that a connection needs.

/// Where a URL points to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Whether TLS is spoken there.
    pub is_secure: bool,
    /// Host and port as written: the `Host` header.
    pub authority: &'a str,
    /// The host as written; an IPv6 address in its brackets.
    pub host: &'a str,
    /// The port, or the scheme's own.
    pub port: u16,
    /// Path and query, which may be empty.
    pub path: &'a str,
}

/// Splits a URL of one of two schemes, the second of which is that under TLS; `None` if it is none. A name and password
/// in it are passed over.
#[must_use]
pub fn split<'a>(url: &'a str, schemes: [&str; 2]) -> Option<Target<'a>> {
    let (scheme, rest) = url.split_once("://")?;
    let is_secure = scheme.eq_ignore_ascii_case(schemes[1]);
    if !is_secure && !scheme.eq_ignore_ascii_case(schemes[0]) {
        return None;
    }
    let rest = rest.split('#').next()?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_clean = |text: &str| text.bytes().all(|b| b.is_ascii_graphic());
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, if is_secure { 443 } else { 80 }),
    };
    let is_good = !host.is_empty() && is_clean(authority) && is_clean(path);
    is_good.then_some(Target { is_secure, authority, host, port, path })
}

/// Splits an `http` or `https` URL.
#[must_use]
pub fn http(url: &str) -> Option<Target<'_>> {
    split(url, ["http", "https"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_http_url_is_split_and_a_wrong_one_is_none() {
        let parts = |url| http(url).map(|t| (t.is_secure, t.authority, t.host, t.port, t.path));
        assert_eq!(parts("http://a"), Some((false, "a", "a", 80, "")));
        assert_eq!(parts("HTTPS://u:p@[::1]:8/v1?x#y"), Some((true, "[::1]:8", "[::1]", 8, "/v1?x")));
        for bad in ["ws://a/", "http:/a", "http://", "http://a:99999", "http://a/ b", "http://a\r\n/"] {
            assert_eq!(parts(bad), None, "{bad}");
        }
    }
}
