//! Standard Webhooks v1 signatures (standardwebhooks.com): HMAC-SHA256 over `id.timestamp.body`.
//!
//! Used both ways: the intake verifies, `[[webhooks]]` are signed. Several secrets may be valid at once, for rotation.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac_sha256::HMAC;

use crate::agent::time::Wall;

/// Largest difference between a timestamp and the clock, in seconds, where the clock may judge.
pub const TOLERANCE_S: i64 = 300;
/// Fewest and most bytes of a key.
pub const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// Most signatures of one header that are looked at. Beyond: the rest is not.
pub const SIGNATURES_MAX: usize = 16;

const PREFIX: &str = "whsec_";
const VERSION: &str = "v1,";

/// A signing key. Never shows itself.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Why a text is no signing secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// It does not begin with `whsec_`.
    NoPrefix,
    /// What follows is not base64.
    NotBase64,
    /// The key has this many bytes, which is outside `KEY_BYTES`.
    Length(usize),
}

impl std::fmt::Display for KeyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoPrefix => f.write_str("a signing secret begins with whsec_"),
            Self::NotBase64 => f.write_str("what follows whsec_ is not base64"),
            Self::Length(bytes) => write!(
                f,
                "the key has {bytes} bytes, but must have {} to {}",
                KEY_BYTES.start(),
                KEY_BYTES.end()
            ),
        }
    }
}

impl Key {
    /// Reads `whsec_` and base64 (RFC 4648 section 4, padded).
    ///
    /// # Errors
    /// If it is anything else, or a key of less than 24 or more than 64 bytes.
    pub fn parse(secret: &str) -> Result<Self, KeyFault> {
        let encoded = secret.trim().strip_prefix(PREFIX).ok_or(KeyFault::NoPrefix)?;
        let key = STANDARD.decode(encoded).map_err(|_| KeyFault::NotBase64)?;
        if KEY_BYTES.contains(&key.len()) { Ok(Self(key)) } else { Err(KeyFault::Length(key.len())) }
    }

    /// The signature of one message, `v1,` and base64.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let mut signature = String::from(VERSION);
        STANDARD.encode_string(self.mac(id, &timestamp_s.to_string(), body), &mut signature);
        signature
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> [u8; 32] {
        let mut mac = HMAC::new(&self.0);
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac.finalize()
    }
}

/// The value of `webhook-signature`: one signature per key, separated by spaces.
#[must_use]
pub fn sign_all(keys: &[Key], id: &str, timestamp_s: i64, body: &[u8]) -> String {
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(id, timestamp_s, body)).collect();
    signatures.join(" ")
}

/// The three headers of a message, as far as they came. A header that came twice is to be given as missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SignedHeaders<'a> {
    /// `webhook-id`.
    pub id: Option<&'a str>,
    /// `webhook-timestamp`: seconds since 1970.
    pub timestamp: Option<&'a str>,
    /// `webhook-signature`.
    pub signature: Option<&'a str>,
}

/// Why a message is not taken as signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureFault {
    /// This header is not there, empty, or there twice.
    Missing(&'static str),
    /// `webhook-timestamp` is not a whole number of seconds.
    Timestamp,
    /// The timestamp is this many seconds in the past.
    TooOld(i64),
    /// The timestamp is this many seconds in the future.
    TooNew(i64),
    /// No signature of version 1 fits any key.
    NoMatch,
}

impl std::fmt::Display for SignatureFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(header) => write!(f, "header {header} is missing"),
            Self::Timestamp => f.write_str("webhook-timestamp is not a number of seconds since 1970"),
            Self::TooOld(s) => write!(f, "webhook-timestamp is {s} s old, more than {TOLERANCE_S} s"),
            Self::TooNew(s) => write!(f, "webhook-timestamp is {s} s ahead, more than {TOLERANCE_S} s"),
            Self::NoMatch => f.write_str("webhook-signature fits none of the secrets"),
        }
    }
}

/// Checks a message. `now` is given only if the clock may judge (`Trust::may_judge`); without it the age is not looked at.
/// The signature is compared before the age, in constant time, over every key.
///
/// # Errors
/// If a header is missing or odd, no signature fits, or the message is too old or too new.
pub fn verify(
    keys: &[Key],
    headers: SignedHeaders<'_>,
    body: &[u8],
    now: Option<Wall>,
) -> Result<(), SignatureFault> {
    let given = |value: Option<&'_ str>| value.map(str::len).is_some_and(|len| len > 0);
    for (value, name) in [
        (headers.id, "webhook-id"),
        (headers.timestamp, "webhook-timestamp"),
        (headers.signature, "webhook-signature"),
    ] {
        if !given(value) {
            return Err(SignatureFault::Missing(name));
        }
    }
    let id = headers.id.unwrap_or_default();
    let timestamp = headers.timestamp.unwrap_or_default();
    let seconds = seconds(timestamp).ok_or(SignatureFault::Timestamp)?;
    if !any_fits(keys, id, timestamp, headers.signature.unwrap_or_default(), body) {
        return Err(SignatureFault::NoMatch);
    }
    now.map_or(Ok(()), |now| in_tolerance(seconds, now))
}

fn seconds(timestamp: &str) -> Option<i64> {
    let plain = (1..=12).contains(&timestamp.len()) && timestamp.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| timestamp.parse().ok()).flatten()
}

fn any_fits(keys: &[Key], id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> bool {
    let given: Vec<Vec<u8>> = signatures
        .split(' ')
        .take(SIGNATURES_MAX)
        .filter_map(|one| STANDARD.decode(one.strip_prefix(VERSION)?).ok())
        .collect();
    let mut fits = false;
    for key in keys {
        let want = key.mac(id, timestamp, body);
        for one in &given {
            fits |= is_equal(&want, one);
        }
    }
    fits
}

fn in_tolerance(seconds: i64, now: Wall) -> Result<(), SignatureFault> {
    let age = now.0.div_euclid(1_000) - seconds;
    match age {
        age if age > TOLERANCE_S => Err(SignatureFault::TooOld(age)),
        age if age < -TOLERANCE_S => Err(SignatureFault::TooNew(-age)),
        _ => Ok(()),
    }
}

/// Compares in a time that depends on the lengths only.
#[must_use]
pub fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0u8, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
    const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
    const AT: Wall = Wall(1_649_367_553_000);

    fn key() -> Key {
        Key::parse(SECRET).unwrap()
    }

    fn headers<'a>(id: &'a str, timestamp: &'a str, signature: &'a str) -> SignedHeaders<'a> {
        SignedHeaders { id: Some(id), timestamp: Some(timestamp), signature: Some(signature) }
    }

    #[test]
    fn the_published_vector_is_signed_and_verified() {
        assert_eq!(key().sign(ID, 1_649_367_553, BODY), SIGNATURE);
        assert_eq!(verify(&[key()], headers(ID, "1649367553", SIGNATURE), BODY, Some(AT)), Ok(()));
    }

    #[test]
    fn one_fitting_pair_of_key_and_signature_is_enough() {
        let other = Key::parse(&format!("whsec_{}", STANDARD.encode([7u8; 32]))).unwrap();
        let many = format!("v1a,x v1,AAAA {} v2,{}", other.sign(ID, 1_649_367_553, BODY), &SIGNATURE[3..]);
        assert_eq!(verify(&[key(), other.clone()], headers(ID, "1649367553", &many), BODY, Some(AT)), Ok(()));
        assert_eq!(
            verify(&[key()], headers(ID, "1649367553", &many), BODY, Some(AT)),
            Err(SignatureFault::NoMatch)
        );
        let both = sign_all(&[key(), other.clone()], ID, 1_649_367_553, BODY);
        assert_eq!(verify(&[other], headers(ID, "1649367553", &both), BODY, Some(AT)), Ok(()));
    }

    #[test]
    fn every_change_breaks_the_signature() {
        let table: [(&str, &str, &str, &[u8]); 6] = [
            ("msg_x", "1649367553", SIGNATURE, BODY),
            (ID, "1649367554", SIGNATURE, BODY),
            (ID, "01649367553", SIGNATURE, BODY),
            (ID, "1649367553", "v1,AZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=", BODY),
            (ID, "1649367553", &SIGNATURE[3..], BODY),
            (ID, "1649367553", SIGNATURE, b"{}"),
        ];
        for (id, timestamp, signature, body) in table {
            let got = verify(&[key()], headers(id, timestamp, signature), body, None);
            assert_eq!(got, Err(SignatureFault::NoMatch), "{id} {timestamp} {signature}");
        }
        assert_eq!(
            verify(&[], headers(ID, "1649367553", SIGNATURE), BODY, None),
            Err(SignatureFault::NoMatch)
        );
    }

    #[test]
    fn age_counts_only_where_the_clock_may_judge() {
        let at = |seconds: i64| Some(Wall((1_649_367_553 + seconds) * 1_000));
        let verify_at = |now| verify(&[key()], headers(ID, "1649367553", SIGNATURE), BODY, now);
        assert_eq!(verify_at(at(300)), Ok(()));
        assert_eq!(verify_at(at(-300)), Ok(()));
        assert_eq!(verify_at(at(301)), Err(SignatureFault::TooOld(301)));
        assert_eq!(verify_at(at(-301)), Err(SignatureFault::TooNew(301)));
        assert_eq!(verify_at(None), Ok(()));
    }

    #[test]
    fn missing_and_odd_headers_are_named() {
        let table = [
            (SignedHeaders::default(), SignatureFault::Missing("webhook-id")),
            (headers("", "1", SIGNATURE), SignatureFault::Missing("webhook-id")),
            (headers(ID, "", SIGNATURE), SignatureFault::Missing("webhook-timestamp")),
            (headers(ID, "1", ""), SignatureFault::Missing("webhook-signature")),
            (headers(ID, "-1", SIGNATURE), SignatureFault::Timestamp),
            (headers(ID, "+1", SIGNATURE), SignatureFault::Timestamp),
            (headers(ID, "1.5", SIGNATURE), SignatureFault::Timestamp),
            (headers(ID, "9999999999999999999999", SIGNATURE), SignatureFault::Timestamp),
        ];
        for (headers, fault) in table {
            assert_eq!(verify(&[key()], headers, BODY, None), Err(fault));
        }
    }

    #[test]
    fn secrets_are_checked() {
        let of = |bytes: usize| Key::parse(&format!("whsec_{}", STANDARD.encode(vec![1u8; bytes])));
        assert!(of(24).is_ok() && of(64).is_ok());
        assert_eq!(of(23), Err(KeyFault::Length(23)));
        assert_eq!(of(65), Err(KeyFault::Length(65)));
        assert_eq!(Key::parse("C2FVsBQIhrscChlQIMV+b5sSYspob7oD"), Err(KeyFault::NoPrefix));
        assert_eq!(Key::parse("whsec_***"), Err(KeyFault::NotBase64));
        assert_eq!(format!("{:?}", key()), "Key(***)");
    }

    #[test]
    fn we_agree_with_the_reference_crate() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for round in 0..500 {
            let bytes: Vec<u8> = (0..24 + next() % 41).map(|_| next().to_be_bytes()[0]).collect();
            let secret = format!("whsec_{}", STANDARD.encode(&bytes));
            let body: String =
                (0..next() % 300).filter_map(|_| char::from_u32((next() % 0x3000) as u32)).collect();
            let (id, at) = (format!("msg_{:x}", next()), i64::try_from(next() % 10_000_000_000).unwrap());
            let theirs =
                standardwebhooks::Webhook::new(&secret).unwrap().sign(&id, at, body.as_bytes()).unwrap();
            let ours = Key::parse(&secret).unwrap();
            assert_eq!(ours.sign(&id, at, body.as_bytes()), theirs, "round {round}");
            let headers = headers(&id, "", "");
            let at = at.to_string();
            let headers = SignedHeaders { timestamp: Some(&at), signature: Some(&theirs), ..headers };
            assert_eq!(verify(&[ours], headers, body.as_bytes(), None), Ok(()), "round {round}");
        }
    }
}
