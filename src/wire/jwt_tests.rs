//! What is a token here, and what only looks like one.

use super::*;

/// The key of RFC 7515 appendix A.1.
const RFC_KEY: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
/// The token of RFC 7515 appendix A.1.1.
const RFC_TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
    dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT","kid":"KID"}"#;
const BODY: &str = r#"{"iss":"chainbot","sub":"phone","role":"viewer","exp":2000000000}"#;

fn key() -> Key {
    Key::new(&[7; 32])
}

/// A token of these two texts, signed whatever they say. `KID` stands for the key's name.
fn signed(header: &str, body: &str) -> String {
    let key = key();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text.replace("KID", key.kid()));
    let signed = format!("{}.{}", encode(header), encode(body));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(HMAC::mac(signed.as_bytes(), &key.secret)))
}

fn fault(token: &str) -> JwtFault {
    verify(token, &[key()]).expect_err(token)
}

#[test]
fn the_signature_is_that_of_the_rfc() {
    let (signed, signature) = RFC_TOKEN.rsplit_once('.').unwrap();
    let secret = URL_SAFE_NO_PAD.decode(RFC_KEY).unwrap();
    assert_eq!(URL_SAFE_NO_PAD.encode(HMAC::mac(signed.as_bytes(), &secret)), signature);
    // It names no key, so it is not taken here.
    assert_eq!(verify(RFC_TOKEN, &[Key::new(&secret)]), Err(JwtFault::Key));
}

#[test]
fn a_token_is_read_as_it_was_made() {
    let claims = Claims {
        name: "porch light".to_owned(),
        role: "operator".to_owned(),
        id: Some("0123456789ab".to_owned()),
        issued_s: Some(1_900_000_000),
        not_before_s: Some(1_900_000_000),
        expires_s: 1_900_003_600,
    };
    let token = encode(&claims, &key());
    assert!(token.len() < JWT_BYTES_MAX / 2);
    assert_eq!(verify(&token, &[Key::new(&[8; 32]), key()]), Ok(claims));
    assert_eq!(verify(&token, &[Key::new(&[8; 32])]), Err(JwtFault::Key));
    assert_eq!(verify(&token, &[]), Err(JwtFault::Key));
    assert!(verify(&signed(HEADER, BODY), &[key()]).is_ok());
    let spaced = HEADER.replace(',', " ,\r\n\t");
    assert!(verify(&signed(&spaced, &format!(" {BODY}\n")), &[key()]).is_ok(), "JSON may be spaced");
}

#[test]
fn the_longest_names_make_a_token_that_is_taken() {
    let text = "~".repeat(CLAIM_BYTES_MAX);
    let claims = Claims {
        name: text.clone(),
        role: text.clone(),
        id: Some(text),
        issued_s: Some(i64::MAX),
        not_before_s: Some(i64::MAX),
        expires_s: i64::MAX,
    };
    let token = encode(&claims, &key());
    assert!(token.len() <= JWT_BYTES_MAX, "{}", token.len());
    assert_eq!(verify(&token, &[key()]), Ok(claims));
}

#[test]
fn no_other_algorithm_is_taken() {
    for algorithm in ["none", "None", "NONE", "", "hs256", "HS384", "HS512", "RS256", "ES256", "HS256 "] {
        let header = HEADER.replace("HS256", algorithm);
        assert_eq!(fault(&signed(&header, BODY)), JwtFault::Algorithm, "{algorithm}");
        let unsigned = signed(&header, BODY);
        let unsigned = unsigned.rsplit_once('.').unwrap().0;
        assert_eq!(fault(&format!("{unsigned}.")), JwtFault::Shape, "{algorithm}");
    }
    for odd in [r#"["HS256"]"#, "null", "256", r#"{"HS256":1}"#] {
        assert_eq!(fault(&signed(&HEADER.replace(r#""HS256""#, odd), BODY)), JwtFault::Algorithm, "{odd}");
    }
    assert_eq!(fault(&signed(&HEADER.replace(r#""alg":"HS256","#, ""), BODY)), JwtFault::Algorithm);
}

#[test]
fn a_header_that_says_more_or_less_is_not_understood() {
    for more in [
        r#""crit":["exp"]"#,
        r#""b64":false"#,
        r#""jwk":{"kty":"oct","k":"AAAA"}"#,
        r#""jku":"http://evil.example/keys""#,
        r#""x5u":"http://evil.example/""#,
        r#""zip":"DEF""#,
        r#""cty":"JWT""#,
        r#""alg":"none""#,
        r#""al\u0067":"none""#,
        r#""kid":"../../dev/null""#,
    ] {
        let header = HEADER.replace('}', &format!(",{more}}}"));
        assert_eq!(fault(&signed(&header, BODY)), JwtFault::Header, "{more}");
        let header = HEADER.replace('{', &format!("{{{more},"));
        assert_eq!(fault(&signed(&header, BODY)), JwtFault::Header, "{more}");
    }
    for bad in ["[]", "7", "\"HS256\"", "{", "{}x", "", "null", "{\"alg\":}", "\u{feff}{}"] {
        let found = fault(&signed(bad, BODY));
        assert!(matches!(found, JwtFault::Header | JwtFault::Shape), "{bad}: {found:?}");
    }
    for odd in ["jwt", "JWE", "at+jwt", ""] {
        assert_eq!(fault(&signed(&HEADER.replace("JWT", odd), BODY)), JwtFault::Type, "{odd}");
    }
    for odd in ["", "KIDx", "0"] {
        assert_eq!(fault(&signed(&HEADER.replace("KID", odd), BODY)), JwtFault::Key, "{odd}");
    }
    assert_eq!(fault(&signed(&HEADER.replace(r#","kid":"KID""#, ""), BODY)), JwtFault::Key);
}

#[test]
fn claims_are_there_once_and_of_their_kind() {
    for (body, claim) in [
        (r#"{"sub":"a","role":"admin"}"#, "exp"),
        (r#"{"sub":"a","exp":9}"#, "role"),
        (r#"{"role":"admin","exp":9}"#, "sub"),
        (r#"{"sub":"","role":"admin","exp":9}"#, "sub"),
        (r#"{"sub":7,"role":"admin","exp":9}"#, "sub"),
        (r#"{"sub":null,"role":"admin","exp":9}"#, "sub"),
        (r#"{"sub":"a\nb","role":"admin","exp":9}"#, "sub"),
        (r#"{"sub":"ü","role":"admin","exp":9}"#, "sub"),
        (r#"{"sub":"a","role":["admin"],"exp":9}"#, "role"),
        (r#"{"sub":"a","role":"admin","exp":"9"}"#, "exp"),
        (r#"{"sub":"a","role":"admin","exp":-9}"#, "exp"),
        (r#"{"sub":"a","role":"admin","exp":1e300}"#, "exp"),
        (r#"{"sub":"a","role":"admin","exp":18446744073709551615}"#, "exp"),
        (r#"{"sub":"a","role":"admin","exp":9,"nbf":"now"}"#, "nbf"),
        (r#"{"sub":"a","role":"admin","exp":9,"iat":null}"#, "iat"),
        (r#"{"sub":"a","role":"admin","exp":9,"jti":7}"#, "jti"),
        (r#"{"sub":"a","role":"admin","exp":9,"aud":"elsewhere"}"#, "aud"),
        (r#"{"sub":"a","role":"admin","exp":9,"aud":["chainbot"]}"#, "aud"),
        (r#"{"sub":"a","role":"admin","exp":9,"exp":99}"#, "set"),
        (r#"{"sub":"a","role":"viewer","exp":9,"rol\u0065":"admin"}"#, "set"),
        (r#"[{"sub":"a"}]"#, "set"),
        (r#"{"sub":"a","role":"admin","exp":9}{}"#, "set"),
    ] {
        assert_eq!(fault(&signed(HEADER, body)), JwtFault::Claim(claim), "{body}");
    }
    let long = format!(r#"{{"sub":"{}","role":"admin","exp":9}}"#, "a".repeat(CLAIM_BYTES_MAX + 1));
    assert_eq!(fault(&signed(HEADER, &long)), JwtFault::Claim("sub"));
    let more = r#"{"sub":"a","role":"admin","exp":9,"aud":"chainbot","is_superuser":true}"#;
    assert!(verify(&signed(HEADER, more), &[key()]).is_ok(), "what is not known is passed over");
}

#[test]
fn one_byte_more_or_less_or_other_is_another_token() {
    let token = signed(HEADER, BODY);
    assert!(verify(&token, &[key()]).is_ok());
    for index in 0..token.len() {
        let mut bytes = token.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        assert!(verify(std::str::from_utf8(&bytes).unwrap(), &[key()]).is_err(), "byte {index}");
        assert!(verify(&token[..index], &[key()]).is_err(), "cut at {index}");
    }
    let spellings = [
        format!("{token}="),
        format!("{token}\n"),
        format!(" {token}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}A"),
        token.replacen('.', "..", 1),
        token.replace('.', ""),
        String::new(),
        "..".to_owned(),
        ".".repeat(JWT_BYTES_MAX),
    ];
    for other in spellings {
        assert!(verify(&other, &[key()]).is_err(), "{other:?}");
    }
    let long = signed(HEADER, &BODY.replace("phone", &"p".repeat(JWT_BYTES_MAX)));
    assert_eq!(fault(&long), JwtFault::TooLong);
}

#[test]
fn the_last_digit_has_no_second_spelling() {
    let token = signed(HEADER, BODY);
    let (rest, last) = token.split_at(token.len() - 1);
    // 32 bytes leave two bits over in their last digit.
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let good = digits.chars().filter(|digit| verify(&format!("{rest}{digit}"), &[key()]).is_ok());
    assert_eq!(good.collect::<String>(), last);
}

#[test]
fn times_are_judged_as_far_as_the_time_is_known() {
    let claims = |begins: Option<i64>, expires_s| Claims {
        issued_s: begins,
        not_before_s: begins,
        expires_s,
        ..Claims::default()
    };
    let known = |at_s: i64, passed_s: i64, may_judge| Known {
        at: Wall(at_s * 1_000),
        passed: Wall(passed_s * 1_000),
        may_judge,
    };
    let trusted = |at_s| known(at_s, at_s, true);
    let guessed = |at_s, passed_s| known(at_s, passed_s, false);
    for (claims, known, wanted) in [
        (claims(Some(1_000), 2_000), trusted(1_500), Ok(())),
        (claims(Some(1_000), 2_000), trusted(2_059), Ok(())),
        (claims(Some(1_000), 2_000), trusted(2_060), Err(JwtFault::Expired)),
        (claims(Some(1_000), 2_000), trusted(940), Ok(())),
        (claims(Some(1_000), 2_000), trusted(939), Err(JwtFault::NotYet)),
        (claims(None, 2_000), trusted(0), Ok(())),
        // A clock that nobody vouches for: only what has surely passed counts.
        (claims(Some(1_000), 2_000), guessed(0, i64::MIN / 1_000), Ok(())),
        (claims(Some(1_000), 2_000), guessed(0, 0), Ok(())),
        (claims(Some(1_000), 2_000), guessed(9_999_999, 1_500), Ok(())),
        (claims(Some(1_000), 2_000), guessed(0, 2_060), Err(JwtFault::Expired)),
        (claims(Some(i64::MAX), i64::MAX), guessed(0, 0), Ok(())),
        (claims(Some(i64::MAX), i64::MAX), trusted(5), Err(JwtFault::NotYet)),
    ] {
        assert_eq!(claims.judge(known), wanted, "{claims:?} {known:?}");
    }
}

#[test]
fn a_key_goes_by_the_hash_of_its_bytes_and_shows_no_more() {
    // printf %s 'a key of the fleet, 32 bytes long' | sha256sum | cut -c1-16
    let key = Key::new(b"a key of the fleet, 32 bytes long");
    assert_eq!(key.kid(), "0a1e6a97b8153850");
    assert_eq!(format!("{key:?}"), format!("Key({})", key.kid()));
    assert_ne!(key.kid(), Key::new(b"a key of the fleet, 32 bytes lonG").kid());
}
