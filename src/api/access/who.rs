//! Who calls: what a request shows, looked up among the credentials there are.

use hmac_sha256::Hash;

use crate::agent::Status;
use crate::agent::brain::speech::Caller;
use crate::agent::setup::Secret;
use crate::api::routes::Role;
use crate::api::{Request, Security};

/// Longest `Who::name` in bytes.
pub const WHO_BYTES_MAX: usize = 72;

/// Who calls, and by what right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// What they may do.
    pub role: Role,
    /// What that rests on.
    pub kind: WhoKind,
    /// For events and people: `nobody`, `loopback`, `security.token`, `security.api_key`, `token <name>`. Printable, never
    /// a secret, at most `WHO_BYTES_MAX` bytes.
    pub name: String,
}

/// What a caller's right rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhoKind {
    /// Nothing: no credential that is known, and not on this machine.
    Nobody,
    /// Being on this machine.
    Loopback,
    /// `security.token`, or the one made at the first start.
    Token,
    /// `security.api_key`.
    ApiKey,
}

impl Who {
    pub(in crate::api) fn nobody() -> Self {
        Self { role: Role::Open, kind: WhoKind::Nobody, name: "nobody".to_owned() }
    }

    fn new(role: Role, kind: WhoKind, name: &str) -> Self {
        Self { role, kind, name: name.to_owned() }
    }

    /// Whose budget their questions are counted against.
    #[must_use]
    pub fn caller(&self) -> Caller {
        match self.kind {
            WhoKind::Token => Caller::Token,
            WhoKind::ApiKey => Caller::ApiKey,
            WhoKind::Loopback | WhoKind::Nobody => Caller::Loopback,
        }
    }
}

/// Who sent the request. A credential goes before being on this machine, the mightier of two before the other; a wrong
/// one is worth as much as none. `beside` is a further credential, shown where no header can.
pub(in crate::api) fn who(
    security: &Security,
    status: &Status<'_>,
    request: &Request<'_>,
    beside: Option<&str>,
) -> Who {
    let shown = [bearer(request), request.header("x-api-key"), beside];
    let known = shown.into_iter().flatten().filter_map(|given| who_shows(security, status, given));
    if let Some(who) = known.max_by_key(|who| who.role) {
        return who;
    }
    if request.peer_is_loopback {
        return Who::new(Role::Admin, WhoKind::Loopback, "loopback");
    }
    Who::nobody()
}

/// Who holds this credential, if anybody does.
pub(in crate::api) fn who_shows(security: &Security, _status: &Status<'_>, given: &str) -> Option<Who> {
    // Both are compared, whatever comes out of the first.
    let is_token = is_held(security.token.as_ref(), given);
    let is_key = is_held(security.api_key.as_ref(), given);
    if is_token {
        return Some(Who::new(Role::Admin, WhoKind::Token, "security.token"));
    }
    is_key.then(|| Who::new(Role::Admin, WhoKind::ApiKey, "security.api_key"))
}

fn bearer<'a>(request: &Request<'a>) -> Option<&'a str> {
    let (scheme, token) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn is_held(secret: Option<&Secret>, given: &str) -> bool {
    secret.is_some_and(|secret| is_equal(&secret.0, given))
}

/// Compares hashes, so that neither the time nor the length tells how much of a guess is right. An empty secret
/// equals nothing.
fn is_equal(secret: &str, given: &str) -> bool {
    let (secret_hash, given_hash) = (Hash::hash(secret.as_bytes()), Hash::hash(given.as_bytes()));
    let difference = secret_hash.iter().zip(given_hash).fold(0, |sum, (a, b)| sum | (a ^ b));
    difference == 0 && !secret.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_secret_equals_nothing() {
        assert!(is_equal("s3cret", "s3cret"));
        assert!(!is_equal("s3cret", "s3cre"));
        assert!(!is_equal("s3cret", "s3crets"));
        assert!(!is_equal("", ""));
    }
}
