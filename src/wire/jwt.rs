//! JSON Web Tokens (RFC 7519) in the one form that is spoken here: the compact serialization of RFC 7515, signed with
//! HMAC-SHA256, the key named by `kid`.
//!
//! The algorithm is not negotiated: a header that says anything but `HS256` is refused before a key is looked up, and so is
//! one with members that change what a token means (`crit`, `b64`, `jwk`, `zip` ...). Not here: the time, which `Claims::judge`
//! is told, and what a role may do.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac_sha256::{HMAC, Hash};

use super::json::{Json, Kind, push_raw, push_text};
use super::standard_webhooks::is_equal;
use crate::agent::ids::hex;
use crate::agent::time::Wall;

/// Longest token in bytes. Beyond: refused unread.
pub const JWT_BYTES_MAX: usize = 1_024;
/// Longest `sub`, `jti`, `iss` and `kid` in bytes. Beyond: refused.
pub const CLAIM_BYTES_MAX: usize = 64;
/// Shortest key in bytes (RFC 7518 section 3.2: as long as the hash).
pub const KEY_BYTES_MIN: usize = 32;
/// How far two clocks may be apart, in seconds.
pub const LEEWAY_S: i64 = 60;
/// Who issues the tokens made here, and for whom they are.
pub const ISSUER: &str = "chainbot";

/// A key that signs, and its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    kid: String,
    secret: Vec<u8>,
}

impl Key {
    /// A key of these bytes. Its name is the first 16 hex digits of their SHA-256, so that whoever has the key knows the name.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self { kid: hex(&Hash::hash(secret)[..8]), secret: secret.to_vec() }
    }

    /// Its name: no secret.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.kid)
    }
}

/// What a token says. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Claims {
    /// `sub`: the name of who holds it, 1 to `CLAIM_BYTES_MAX` printable ASCII characters.
    pub name: String,
    /// `role`, as it is written.
    pub role: String,
    /// `jti`: the entry of the registry that it stands and falls with; `None`: it has none.
    pub id: Option<String>,
    /// `iat`.
    pub issued_s: Option<i64>,
    /// `nbf`.
    pub not_before_s: Option<i64>,
    /// `exp`.
    pub expires_s: i64,
}

/// What is known of the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What the clock says.
    pub at: Wall,
    /// A moment that has surely passed, whatever the clock says.
    pub passed: Wall,
    /// Whether `at` may be held against somebody.
    pub may_judge: bool,
}

/// Why a token is not taken. For logs and tests: a caller is told no more than that it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtFault {
    /// Longer than `JWT_BYTES_MAX`.
    TooLong,
    /// Not three parts in base64url without padding.
    Shape,
    /// The header is no object, has a member twice, or one that is not known.
    Header,
    /// `alg` is not `HS256`.
    Algorithm,
    /// `typ` is not `JWT`.
    Type,
    /// No live key has this `kid`, or there is none.
    Key,
    /// The signature does not fit.
    Signature,
    /// The claims are no object, or this one is missing, twice there, or not of its kind.
    Claim(&'static str),
    /// `exp` has passed.
    Expired,
    /// `nbf` or `iat` has not come.
    NotYet,
}

impl fmt::Display for JwtFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "token is longer than {JWT_BYTES_MAX} bytes"),
            Self::Shape => f.write_str("token is not three parts of base64url"),
            Self::Header => f.write_str("header is not understood"),
            Self::Algorithm => f.write_str("alg is not HS256"),
            Self::Type => f.write_str("typ is not JWT"),
            Self::Key => f.write_str("kid names no live key"),
            Self::Signature => f.write_str("signature does not fit"),
            Self::Claim(name) => write!(f, "claim {name} is missing or wrong"),
            Self::Expired => f.write_str("token has expired"),
            Self::NotYet => f.write_str("token is not valid yet"),
        }
    }
}

impl Claims {
    /// Holds the times against what is known. Under a clock that may not judge only a time that has surely passed counts:
    /// a token from the future is then a clock that is behind, and no verdict.
    ///
    /// # Errors
    /// `Expired` or `NotYet`.
    pub fn judge(&self, known: Known) -> Result<(), JwtFault> {
        let seconds = |wall: Wall| wall.0.div_euclid(1_000);
        if self.expires_s <= seconds(known.passed).saturating_sub(LEEWAY_S) {
            return Err(JwtFault::Expired);
        }
        if !known.may_judge {
            return Ok(());
        }
        let at = seconds(known.at);
        if self.expires_s <= at.saturating_sub(LEEWAY_S) {
            return Err(JwtFault::Expired);
        }
        let begins = self.not_before_s.into_iter().chain(self.issued_s).max();
        if begins.is_some_and(|begins| begins > at.saturating_add(LEEWAY_S)) {
            return Err(JwtFault::NotYet);
        }
        Ok(())
    }
}

/// Makes a token. Name, role and id must need no more than `CLAIM_BYTES_MAX` bytes each.
#[must_use]
pub fn encode(claims: &Claims, key: &Key) -> String {
    let mut header = "{".to_owned();
    push_text(&mut header, "alg", "HS256");
    push_text(&mut header, "typ", "JWT");
    push_text(&mut header, "kid", &key.kid);
    header.push('}');
    let mut body = "{".to_owned();
    push_text(&mut body, "iss", ISSUER);
    push_text(&mut body, "sub", &claims.name);
    push_text(&mut body, "role", &claims.role);
    if let Some(id) = &claims.id {
        push_text(&mut body, "jti", id);
    }
    for (name, time) in [("iat", claims.issued_s), ("nbf", claims.not_before_s)] {
        if let Some(time) = time {
            push_raw(&mut body, name, &time.to_string());
        }
    }
    push_raw(&mut body, "exp", &claims.expires_s.to_string());
    body.push('}');
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(body, &mut token);
    let mac = HMAC::mac(token.as_bytes(), &key.secret);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(mac, &mut token);
    token
}

/// Reads a token that one of `keys` has signed. The signature is compared in constant time, and the claims are not looked at
/// before it fits.
///
/// # Errors
/// The first rule that it breaks; times are not judged here.
pub fn verify(token: &str, keys: &[Key]) -> Result<Claims, JwtFault> {
    if token.len() > JWT_BYTES_MAX {
        return Err(JwtFault::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(JwtFault::Shape)?;
    let (header, body) = signed.split_once('.').ok_or(JwtFault::Shape)?;
    let [header, body, signature] = [decoded(header)?, decoded(body)?, decoded(signature)?];
    let key = key_of(&header, keys)?;
    if !is_equal(&HMAC::mac(signed.as_bytes(), &key.secret), &signature) {
        return Err(JwtFault::Signature);
    }
    claims_of(&body)
}

/// Without padding, and with no bit in the last digit that stands for nothing: a token has one spelling.
fn decoded(part: &str) -> Result<Vec<u8>, JwtFault> {
    URL_SAFE_NO_PAD.decode(part).ok().filter(|bytes| !bytes.is_empty()).ok_or(JwtFault::Shape)
}

fn key_of<'k>(header: &[u8], keys: &'k [Key]) -> Result<&'k Key, JwtFault> {
    let header = object(header).ok_or(JwtFault::Header)?;
    if header.fields().any(|(name, _)| !["alg", "typ", "kid"].contains(&&*name)) {
        return Err(JwtFault::Header);
    }
    let text = |name| header.get(name).and_then(Json::text);
    if text("alg").as_deref() != Some("HS256") {
        return Err(JwtFault::Algorithm);
    }
    if text("typ").as_deref() != Some("JWT") {
        return Err(JwtFault::Type);
    }
    let kid = text("kid").ok_or(JwtFault::Key)?;
    keys.iter().find(|key| key.kid == kid).ok_or(JwtFault::Key)
}

/// An object in which no member is there twice.
fn object(bytes: &[u8]) -> Option<Json<'_>> {
    let json = Json::parse(bytes).ok().filter(|json| json.kind() == Kind::Object)?;
    let is_twice = |(index, (name, _))| json.fields().skip(index + 1).any(|(other, _)| other == name);
    (!json.fields().enumerate().any(is_twice)).then_some(json)
}

fn claims_of(body: &[u8]) -> Result<Claims, JwtFault> {
    let body = object(body).ok_or(JwtFault::Claim("set"))?;
    let text = |name: &'static str| match body.get(name) {
        None => Ok(None),
        Some(value) => {
            let text = value.text().filter(|text| is_claim(text)).ok_or(JwtFault::Claim(name))?;
            Ok(Some(text.into_owned()))
        }
    };
    let time = |name: &'static str| match body.get(name) {
        None => Ok(None),
        Some(value) => {
            let seconds = value.u64().and_then(|seconds| i64::try_from(seconds).ok());
            seconds.map(Some).ok_or(JwtFault::Claim(name))
        }
    };
    // A token for somebody else is none for us (RFC 7519 section 4.1.3).
    if text("aud")?.is_some_and(|audience| audience != ISSUER) {
        return Err(JwtFault::Claim("aud"));
    }
    text("iss")?;
    Ok(Claims {
        name: text("sub")?.ok_or(JwtFault::Claim("sub"))?,
        role: text("role")?.ok_or(JwtFault::Claim("role"))?,
        id: text("jti")?,
        issued_s: time("iat")?,
        not_before_s: time("nbf")?,
        expires_s: time("exp")?.ok_or(JwtFault::Claim("exp"))?,
    })
}

fn is_claim(text: &str) -> bool {
    (1..=CLAIM_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
