//! Names to addresses, in the thread of the call, and the guard that keeps a `[[webhooks]]` name out of the LAN.
//!
//! ureq's own resolver starts a thread for each look-up that has a deadline. This one does not: it looks up where it is
//! called, so the number of threads stays constant. A look-up may then take longer than the call's time (libc gives
//! up after its own, commonly 10 to 20 s); the call ends as a time-out right after it.

use std::cell::Cell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::wire::AddressGuard;

thread_local! {
    /// The guard of the call that this thread is doing. ureq hands nothing of the request to a resolver but its URL.
    static GUARD: Cell<AddressGuard> = const { Cell::new(AddressGuard::Any) };
}

/// Sets the guard for the calls that this thread does from here on.
pub fn set_guard(guard: AddressGuard) {
    GUARD.set(guard);
}

/// A guarded name has a private address. Found by [`super::calls`] inside ureq's error.
#[derive(Debug)]
pub struct PrivateName;

impl fmt::Display for PrivateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("name resolves to a private address")
    }
}

impl std::error::Error for PrivateName {}

/// The resolver for ureq.
#[derive(Debug)]
pub struct InThread;

impl Resolver for InThread {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().ok_or(ureq::Error::HostNotFound)?;
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut found = self.empty();
        // An array of 16: more addresses than that are of no use.
        for address in addresses(host, port, GUARD.get())?.into_iter().take(16) {
            found.push(address);
        }
        Ok(found)
    }
}

fn addresses(host: &str, port: u16, guard: AddressGuard) -> Result<Vec<SocketAddr>, ureq::Error> {
    if let Some(known) = known(host, port) {
        return if admits_known(guard, &known) { Ok(known) } else { Err(private_name()) };
    }
    judge(look_up(host, port).ok_or(ureq::Error::HostNotFound)?, guard)
}

/// Whether a guard lets addresses pass that the URL names itself.
#[must_use]
pub fn admits_known(guard: AddressGuard, known: &[SocketAddr]) -> bool {
    guard != AddressGuard::PublicOnly || !any_private(known)
}

/// Whether a guard lets the addresses of a name pass. One private address among several is enough to refuse: the next
/// look-up could pick it.
#[must_use]
pub fn admits_found(guard: AddressGuard, found: &[SocketAddr]) -> bool {
    guard == AddressGuard::Any || !any_private(found)
}

fn any_private(addresses: &[SocketAddr]) -> bool {
    addresses.iter().any(|address| is_private(address.ip()))
}

fn private_name() -> ureq::Error {
    ureq::Error::Other(Box::new(PrivateName))
}

/// The addresses of a host that nobody must be asked for. Never empty.
#[must_use]
pub fn known(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    if let Some(ip) = literal(host) {
        return Some(vec![SocketAddr::new(ip, port)]);
    }
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    is_localhost(host).then(|| loopback.map(|ip| SocketAddr::new(ip, port)).to_vec())
}

/// Asks the system for the addresses of a name, which may take as long as its name servers do.
#[must_use]
pub fn look_up(host: &str, port: u16) -> Option<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().ok().map(Iterator::collect)
}

fn judge(found: Vec<SocketAddr>, guard: AddressGuard) -> Result<Vec<SocketAddr>, ureq::Error> {
    if found.is_empty() {
        return Err(ureq::Error::HostNotFound);
    }
    if admits_found(guard, &found) { Ok(found) } else { Err(private_name()) }
}

/// The address, if the host of a URL is one. Version 6 stands in brackets there.
fn literal(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
    }
}

/// `localhost` is loopback by definition (RFC 6761, section 6.3); a board without `/etc/hosts` must not ask for it.
fn is_localhost(host: &str) -> bool {
    host.trim_end_matches('.').eq_ignore_ascii_case("localhost")
}

/// Whether an address belongs to this machine, the LAN, a carrier's inside, or nobody: everything that a name on the
/// public internet has no business to point at. After the special-purpose registries (RFC 6890); an address of version
/// 6 that carries one of version 4 is judged by that.
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_private_v4(ip),
        IpAddr::V6(ip) => is_private_v6(ip),
    }
}

fn is_private_v4(ip: Ipv4Addr) -> bool {
    match ip.octets() {
        // This network, loopback, private, link-local.
        [0 | 10 | 127, ..] | [172, 16..=31, ..] | [192, 168, ..] | [169, 254, ..] => true,
        // Carrier NAT, protocol assignments, benchmarks.
        [100, 64..=127, ..] | [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        // Multicast, reserved, broadcast.
        [224..=255, ..] => true,
        _ => false,
    }
}

fn is_private_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // Unspecified, loopback, and the two ways to write version 4 in the last 32 bits.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => true,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => is_private_v4(v4_of(high, low)),
        // NAT64: well-known prefix, local prefix; 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_private_v4(v4_of(high, low)),
        [0x64, 0xff9b, 1, ..] => true,
        [0x2002, high, low, ..] => is_private_v4(v4_of(high, low)),
        // Unique local, link-local, the old site-local, multicast.
        [first, ..] => {
            first & 0xfe00 == 0xfc00
                || first & 0xff80 == 0xfe80
                || first & 0xffc0 == 0xfec0
                || first >= 0xff00
        }
    }
}

fn v4_of(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|_| panic!("{text} is an address"))
    }

    #[test]
    fn addresses_of_the_lan_are_private() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::192.168.1.1",
            "64:ff9b:1::1",
            "2002:c0a8:0101::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "feff::1",
            "ff02::1",
        ] {
            assert!(is_private(ip(text)), "{text}");
        }
    }

    #[test]
    fn addresses_of_the_internet_are_not_private() {
        for text in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "128.0.0.1",
            "169.253.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "192.167.1.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:0101:0101::1",
            "2606:4700::1111",
            "fbff::1",
            "fe00::1",
        ] {
            assert!(!is_private(ip(text)), "{text}");
        }
    }

    #[test]
    fn a_guarded_name_with_one_private_address_is_refused() {
        let at = |text: &str| SocketAddr::new(ip(text), 80);
        let mixed = vec![at("1.1.1.1"), at("192.168.1.1")];
        let refused = judge(mixed.clone(), AddressGuard::NoPrivateNames);
        assert!(matches!(refused, Err(ureq::Error::Other(why)) if why.is::<PrivateName>()));
        assert_eq!(judge(mixed, AddressGuard::Any).map_err(drop).map(|found| found.len()), Ok(2));
        let public = judge(vec![at("1.1.1.1")], AddressGuard::NoPrivateNames);
        assert_eq!(public.map_err(drop).map(|found| found.len()), Ok(1));
        assert!(matches!(judge(Vec::new(), AddressGuard::Any), Err(ureq::Error::HostNotFound)));
    }

    #[test]
    fn literals_and_localhost_pass_the_guard() {
        for host in ["127.0.0.1", "192.168.1.1", "[::1]", "[fe80::1]", "localhost", "LOCALHOST."] {
            assert!(addresses(host, 80, AddressGuard::NoPrivateNames).is_ok(), "{host}");
        }
        for host in ["127.0.0.1", "[::1]", "[::ffff:10.0.0.1]", "localhost"] {
            assert!(addresses(host, 80, AddressGuard::PublicOnly).is_err(), "{host}");
        }
        assert!(addresses("1.1.1.1", 80, AddressGuard::PublicOnly).is_ok());
        let first = addresses("localhost", 81, AddressGuard::Any).map_err(drop).map(|found| found[0]);
        assert_eq!(first, Ok(SocketAddr::new(ip("127.0.0.1"), 81)));
    }

    #[test]
    fn only_whole_addresses_are_literals() {
        for host in ["", "1.2.3", "0x7f.1", "2130706433", "[1.2.3.4]", "[::1", "::1", "a.b"] {
            assert_eq!(literal(host), None, "{host}");
        }
    }
}
