//! Just enough of RFC 3986 to refuse a URL that no call could use, and to show one without what is secret in it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The parts of an absolute URL that the config asks about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    /// The scheme as written.
    pub scheme: &'a str,
    /// Whether there is a user or a password.
    pub has_user: bool,
    /// The host, without the brackets of an IPv6 address.
    pub host: &'a str,
    /// The port, or the scheme's own.
    pub port: u16,
    /// Whether there is a query or a fragment.
    pub has_query: bool,
}

impl Parts<'_> {
    /// The host as an address, if it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlFault {
    /// No scheme, or not one of the schemes allowed.
    Scheme,
    /// The host is missing or cannot be one.
    Host,
    /// The port is not a number from 1 to 65535.
    Port,
    /// A blank, a control character, one beyond ASCII or one that a URL must escape.
    Character,
}

/// Splits `url`.
///
/// # Errors
/// The first thing that is wrong, from left to right; the characters last.
pub fn parse<'a>(url: &'a str, schemes: &[&str]) -> Result<Parts<'a>, UrlFault> {
    let (scheme, rest) = url.split_once("://").ok_or(UrlFault::Scheme)?;
    if !schemes.iter().any(|allowed| allowed.eq_ignore_ascii_case(scheme)) {
        return Err(UrlFault::Scheme);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (has_user, host_port) = match authority.rsplit_once('@') {
        Some((_, host_port)) => (true, host_port),
        None => (false, authority),
    };
    let (host, port) = split_port(host_port)?;
    if !url.bytes().all(is_url_byte) {
        return Err(UrlFault::Character);
    }
    let is_secure = matches!(scheme.to_ascii_lowercase().as_str(), "https" | "wss");
    let port = port.unwrap_or(if is_secure { 443 } else { 80 });
    Ok(Parts { scheme, has_user, host, port, has_query: path.contains(['?', '#']) })
}

/// Splits `host[:port]`, both checked.
///
/// # Errors
/// `Host` or `Port`.
pub fn split_port(text: &str) -> Result<(&str, Option<u16>), UrlFault> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(UrlFault::Host)?;
            host.parse::<Ipv6Addr>().map_err(|_| UrlFault::Host)?;
            match port {
                "" => (host, None),
                port => (host, Some(port.strip_prefix(':').ok_or(UrlFault::Host)?)),
            }
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            if !is_host(host) {
                return Err(UrlFault::Host);
            }
            (host, port)
        }
    };
    let port = match port {
        None => None,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            Some(digits.parse::<u16>().ok().filter(|port| *port > 0).ok_or(UrlFault::Port)?)
        }
        Some(_) => return Err(UrlFault::Port),
    };
    Ok((host, port))
}

fn is_host(host: &str) -> bool {
    let looks_numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if looks_numeric {
        return host.parse::<Ipv4Addr>().is_ok();
    }
    host.len() <= 253
        && host.trim_end_matches('.').split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

fn is_url_byte(byte: u8) -> bool {
    byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte)
}

/// `url` without user, password, query and fragment, for people. Works on what is no URL, too.
#[must_use]
pub fn shown(url: &str) -> String {
    let (head, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (&url[..scheme.len() + 3], rest),
        None => ("", url),
    };
    let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if split_port(host).is_ok() {
        return format!("{head}{host}{path}");
    }
    // No host: a password with an unescaped slash may stand before an `@` further on.
    format!("{head}{}", rest.rsplit_once('@').map_or(rest, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &[&str] = &["http", "https"];

    #[test]
    fn good_urls_are_split() {
        let parts = parse("http://10.42.69.208:8000/x", WEB).unwrap();
        assert_eq!((parts.host, parts.port, parts.has_query), ("10.42.69.208", 8000, false));
        let parts = parse("HTTPS://me:pw@[::1]?k=v", WEB).unwrap();
        assert_eq!((parts.host, parts.port, parts.has_user, parts.has_query), ("::1", 443, true, true));
        assert_eq!(parse("http://my_host.local./", WEB).unwrap().port, 80);
    }

    #[test]
    fn bad_urls_are_refused_for_the_right_reason() {
        let table = [
            ("", UrlFault::Scheme),
            ("10.0.0.1:80", UrlFault::Scheme),
            ("ftp://x", UrlFault::Scheme),
            ("http://", UrlFault::Host),
            ("http://:80", UrlFault::Host),
            ("http://a..b", UrlFault::Host),
            ("http://-a", UrlFault::Host),
            ("http://300.1.1.1", UrlFault::Host),
            ("http://1.2.3", UrlFault::Host),
            ("http://[::1", UrlFault::Host),
            ("http://[::g]", UrlFault::Host),
            ("http://[::1]80", UrlFault::Host),
            ("http://häuschen", UrlFault::Host),
            ("http://a:0", UrlFault::Port),
            ("http://a:65536", UrlFault::Port),
            ("http://a:", UrlFault::Port),
            ("http://a:+80", UrlFault::Port),
            ("http://a/b c", UrlFault::Character),
            ("http://a/\r\nx", UrlFault::Character),
            ("http://a/{b}", UrlFault::Character),
        ];
        for (url, fault) in table {
            assert_eq!(parse(url, WEB), Err(fault), "{url:?}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_user_password_or_query() {
        assert_eq!(shown("https://me:pw@h/p?k=v#f"), "https://h/p");
        assert_eq!(shown("https://me:p/w@h/p"), "https://h/p");
        assert_eq!(shown("https://h:80/@me"), "https://h:80/@me");
        assert_eq!(shown("me:pw@h"), "h");
        assert_eq!(shown("https://h?k=v"), "https://h");
        assert_eq!(shown(""), "");
    }
}
