//! Who calls: what a request shows, looked up among the credentials there are.

use std::borrow::Cow;

use hmac_sha256::Hash;

use super::tokens::Token;
use crate::agent::Status;
use crate::agent::brain::speech::Caller;
use crate::agent::ids::hex;
use crate::agent::setup::Secret;
use crate::api::routes::Role;
use crate::api::{Request, Security};
use crate::wire::jwt::{self, Claims, Known};
use crate::wire::standard_webhooks;

/// Longest `Who::name` in bytes.
pub const WHO_BYTES_MAX: usize = 6 + jwt::CLAIM_BYTES_MAX;
/// The user name of whoever logs in with `security.token`.
pub const ADMIN: &str = "admin";
/// The user name of whoever logs in with `security.api_key`.
pub const API_KEY: &str = "api_key";

/// `Who::name` of these two.
const TOKEN_NAME: &str = "security.token";
const API_KEY_NAME: &str = "security.api_key";

/// Headers that a proxy of this machine adds to what it passes on.
const FORWARDED: [&str; 5] =
    ["forwarded", "x-forwarded-for", "x-real-ip", "x-forwarded-host", "x-forwarded-proto"];

/// Who calls, and by what right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// What they may do.
    pub role: Role,
    /// What that rests on.
    pub kind: WhoKind,
    /// For events and people: `nobody`, `loopback`, `security.token`, `security.api_key`, `token <name>`. Printable, never
    /// a secret, at most `WHO_BYTES_MAX` bytes.
    pub name: Cow<'static, str>,
    /// What it stands and falls with: the id of a token, or what stands for `security.token` or `security.api_key`. `None`:
    /// nothing that can be taken back before its time is over.
    pub root: Option<String>,
    /// When it ends, in seconds since 1970.
    pub expires_s: Option<i64>,
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
    /// An API key of `chainbot token create`.
    Made,
    /// A JSON Web Token.
    Jwt,
}

impl WhoKind {
    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Loopback => "loopback",
            Self::Token => "token",
            Self::ApiKey | Self::Made => "api_key",
            Self::Jwt => "jwt",
        }
    }
}

/// What came of what a request showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It showed nothing.
    Nothing,
    /// A right credential.
    Right,
    /// A wrong one, and no right one beside it.
    Wrong,
    /// It was not looked at: too many wrong ones came before.
    Held,
    /// Nothing was looked at: too many requests came before.
    OverRate,
}

impl Who {
    /// Somebody of whom nothing is known.
    pub(in crate::api) fn nobody() -> Self {
        Self::new(Role::Open, WhoKind::Nobody, "nobody", None)
    }

    fn new(role: Role, kind: WhoKind, name: impl Into<Cow<'static, str>>, root: Option<String>) -> Self {
        Self { role, kind, name: name.into(), root, expires_s: None }
    }

    /// Whose budget their questions are counted against: all tokens that were made count as one with `security.token`.
    #[must_use]
    pub fn caller(&self) -> Caller {
        match self.kind {
            WhoKind::Token | WhoKind::Made | WhoKind::Jwt => Caller::Token,
            WhoKind::ApiKey => Caller::ApiKey,
            WhoKind::Loopback | WhoKind::Nobody => Caller::Loopback,
        }
    }

    /// The name under which they log in.
    #[must_use]
    pub fn user(&self) -> &str {
        match &*self.name {
            TOKEN_NAME => ADMIN,
            API_KEY_NAME => API_KEY,
            name => name.strip_prefix("token ").unwrap_or(name),
        }
    }
}

/// Whether a request came through a proxy: what is on this machine is then the proxy, not the caller.
pub(in crate::api) fn is_forwarded(request: &Request<'_>) -> bool {
    FORWARDED.iter().any(|name| request.header_count(name) > 0)
}

/// Whether a request shows something that is looked at as a credential.
pub(in crate::api) fn shows(request: &Request<'_>, beside: Option<&str>) -> bool {
    bearer(request).is_some() || request.header_count("x-api-key") > 0 || beside.is_some()
}

/// Who sent the request. Of a credential and being on this machine the mightier counts, under the credential's name; a wrong
/// credential is worth as much as none. `beside` is a further credential, shown where no header can.
pub(in crate::api) fn who(
    security: &Security,
    status: &Status<'_>,
    request: &Request<'_>,
    beside: Option<&str>,
) -> Who {
    let shown = [bearer(request), request.header("x-api-key"), beside];
    let known = shown.into_iter().flatten().filter_map(|given| who_shows(security, status, given));
    let is_here = request.peer_is_loopback && !is_forwarded(request);
    let local = if is_here { security.loopback_role } else { Role::Open };
    match known.max_by_key(|who| who.role) {
        Some(who) => Who { role: who.role.max(local), ..who },
        None if local > Role::Open => Who::new(local, WhoKind::Loopback, "loopback", None),
        None => Who::nobody(),
    }
}

/// Who holds this credential, if anybody does.
pub(in crate::api) fn who_shows(security: &Security, status: &Status<'_>, given: &str) -> Option<Who> {
    // Both are compared, whatever comes out of the first.
    let is_token = is_held(security.token.as_ref(), given);
    let is_key = is_held(security.api_key.as_ref(), given);
    if is_token {
        return Some(Who::new(Role::Admin, WhoKind::Token, TOKEN_NAME, root_of(&security.token)));
    }
    if is_key {
        let root = root_of(&security.api_key);
        return Some(Who::new(security.api_key_role, WhoKind::ApiKey, API_KEY_NAME, root));
    }
    if let Some(token) = security.tokens.find_key(given) {
        return is_current(token, known(status)).then(|| Who::of_token(token, WhoKind::Made));
    }
    // Three parts, of which none is a key's.
    if !given.contains('.') {
        return None;
    }
    match jwt::verify(given, &security.keys) {
        Ok(claims) => who_claims(security, known(status), &claims),
        Err(fault) => {
            log::debug!("jwt_refused why=\"{fault}\"");
            None
        }
    }
}

fn who_claims(security: &Security, known: Known, claims: &Claims) -> Option<Who> {
    if let Err(fault) = claims.judge(known) {
        log::debug!("jwt_refused why=\"{fault}\"");
        return None;
    }
    let role = Role::parse(&claims.role)?;
    let base = match &claims.id {
        // Made elsewhere, with the key that a fleet shares.
        None => Who::new(role, WhoKind::Jwt, format!("token {}", claims.name), None),
        Some(id) => who_roots(security, known, id)?,
    };
    let expires_s = Some(base.expires_s.map_or(claims.expires_s, |expires| expires.min(claims.expires_s)));
    Some(Who { role: role.min(base.role), expires_s, ..base })
}

/// Whom this root stands for, if it still stands.
fn who_roots(security: &Security, known: Known, root: &str) -> Option<Who> {
    let is_it = |secret: &Option<Secret>| root_of(secret).is_some_and(|own| own == root);
    let owned = Some(root.to_owned());
    if is_it(&security.token) {
        return Some(Who::new(Role::Admin, WhoKind::Jwt, TOKEN_NAME, owned));
    }
    if is_it(&security.api_key) {
        return Some(Who::new(security.api_key_role, WhoKind::Jwt, API_KEY_NAME, owned));
    }
    let token = security.tokens.find(root).filter(|token| token.revoked_s.is_none())?;
    is_current(token, known).then(|| Who::of_token(token, WhoKind::Jwt))
}

impl Who {
    fn of_token(token: &Token, kind: WhoKind) -> Self {
        let name = format!("token {}", token.name);
        Self { expires_s: token.expires_s, ..Self::new(token.role, kind, name, Some(token.id.clone())) }
    }

    /// Whether what this rests on is still there: looked at again while a socket is open.
    #[must_use]
    pub fn still_holds(&self, security: &Security, status: &Status<'_>) -> bool {
        let known = known(status);
        let is_over = |expires_s| Claims { expires_s, ..Claims::default() }.judge(known).is_err();
        if self.expires_s.is_some_and(is_over) {
            return false;
        }
        self.root.as_ref().is_none_or(|root| who_roots(security, known, root).is_some())
    }
}

/// An expired token is judged as a JSON Web Token is.
fn is_current(token: &Token, known: Known) -> bool {
    let judged = |expires_s| Claims { expires_s, ..Claims::default() }.judge(known).is_ok();
    token.expires_s.is_none_or(judged)
}

pub(in crate::api) fn known(status: &Status<'_>) -> Known {
    Known { at: status.at, passed: status.passed, may_judge: status.trust.may_judge() }
}

/// What stands for a secret of the config in the tokens that were given for it: they fall when it is changed.
fn root_of(secret: &Option<Secret>) -> Option<String> {
    let secret = secret.as_ref().filter(|secret| !secret.0.is_empty())?;
    let mut hash = Hash::new();
    hash.update(b"chainbot root of tokens\0");
    hash.update(secret.0.as_bytes());
    Some(format!("c{}", hex(&hash.finalize()[..12])))
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
pub(super) fn is_equal(secret: &str, given: &str) -> bool {
    let (secret_hash, given_hash) = (Hash::hash(secret.as_bytes()), Hash::hash(given.as_bytes()));
    standard_webhooks::is_equal(&secret_hash, &given_hash) && !secret.is_empty()
}
