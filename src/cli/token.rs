//! `token`: the credentials of callers, made, listed and taken back in the state folder. A running agent takes note within a
//! second.

use std::io;
use std::path::Path;

use super::args::Typed;
use super::out::{Exit, Failure, Out, Paint, note, printable};
use crate::agent::time::Wall;
use crate::api::access::tokens::{Proof, Token, Tokens, new_key};
use crate::api::routes::Role;
use crate::config::Config;
use crate::shell::{clock, credentials, state};
use crate::wire::json::{push_raw, push_text};
use crate::wire::jwt::{self, Claims};
use crate::wire::time::format_rfc3339;

/// Longest time that a token may be good, in days.
const DAYS_MAX: i64 = 3_650;
/// How long a JSON Web Token is good if nothing is said, in days: it can be taken back, but is seen by more eyes than a key.
const JWT_DAYS: i64 = 90;
const DAY_S: i64 = 86_400;

/// Why nothing was changed, or not durably.
struct Refused(Failure);

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self(unwritten(&error))
    }
}

fn unwritten(error: &io::Error) -> Failure {
    Failure::new(Exit::CantCreate, format_args!("cannot change the tokens in the state folder: {error}"))
}

fn usage(words: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, words)
}

fn role_of(word: Option<&str>) -> Result<Role, Failure> {
    let Some(word) = word else {
        return Err(usage("what may it do? Say --role viewer, operator or admin"));
    };
    Role::parse(word).ok_or_else(|| {
        usage(format_args!("--role is \"{}\": say viewer, operator or admin", printable(word)))
    })
}

/// `token create NAME --role ROLE [--days N] [--jwt]`.
pub fn create(typed: &Typed, config: &Config, out: &mut Out) -> Result<(), Failure> {
    let dir = state::dir_of(&config.ledger.path);
    let name = &typed.operands[0];
    let role = role_of(typed.value("role"))?;
    let is_jwt = typed.has("jwt");
    let days = match typed.value("days") {
        Some(text) => Some(days_of(text)?),
        None => is_jwt.then_some(JWT_DAYS),
    };
    let now_s = now_s();
    let expires_s = days.map(|days| now_s + days * DAY_S);
    let mut random = [0; 38];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::new(Exit::Other, format_args!("no random numbers: {error}")))?;
    let (id, key, proof) = new_key(&random);
    let (id, secret, proof) = if is_jwt {
        let keys = credentials::keys(&dir, config).map_err(|error| unwritten(&error))?;
        let signing = keys.first().ok_or_else(|| Failure::new(Exit::Other, "there is no key that signs"))?;
        let claims = Claims {
            name: name.clone(),
            role: role.as_str().to_owned(),
            id: Some(id.clone()),
            issued_s: Some(now_s),
            not_before_s: None,
            expires_s: expires_s.unwrap_or(now_s),
        };
        (id, jwt::encode(&claims, signing), Proof::Jwt(signing.kid().to_owned()))
    } else {
        (id, key, proof)
    };
    let token = Token {
        id: id.clone(),
        name: name.clone(),
        role,
        proof,
        created_s: now_s,
        expires_s,
        revoked_s: None,
    };
    change(&dir, |tokens| {
        tokens
            .add(token, now_s)
            .map_err(|fault| Refused(usage(format_args!("\"{}\": {fault}", printable(name)))))
    })?;
    out.line(&secret)?;
    out.flush()?;
    let until = expires_s.map_or("until it is revoked".to_owned(), |at| format!("until {}", shown_time(at)));
    note(&format!("token {name} ({id}), {}, good {until}. It is shown this once.", role.as_str()));
    Ok(())
}

fn days_of(text: &str) -> Result<i64, Failure> {
    let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days));
    days.ok_or_else(|| usage(format_args!("--days is \"{}\": say 1 to {DAYS_MAX}", printable(text))))
}

/// `token revoke ID|NAME`.
pub fn revoke(typed: &Typed, config: &Config, out: &mut Out) -> Result<(), Failure> {
    let dir = state::dir_of(&config.ledger.path);
    let which = &typed.operands[0];
    let now_s = now_s();
    let (id, name) = change(&dir, |tokens| {
        let token = tokens.revoke(which, now_s).map(|token| (token.id.clone(), token.name.clone()));
        let words = format!("no token that is not revoked has the id or name \"{}\"", printable(which));
        token.ok_or_else(|| Refused(Failure::new(Exit::Data, words)))
    })?;
    out.line(format_args!("revoked {name} ({id})"))
}

/// `token list [--json]`.
pub fn list(wants_json: bool, config: &Config, out: &mut Out) -> Result<(), Failure> {
    let dir = state::dir_of(&config.ledger.path);
    let tokens = credentials::read_tokens(&dir).map_err(|error| {
        Failure::new(Exit::Io, format_args!("cannot read the tokens in the state folder: {error}"))
    })?;
    let now_s = now_s();
    if wants_json {
        return out.line(json(&tokens, now_s));
    }
    for token in tokens.list() {
        let state = state_of(token, now_s);
        let paint = if state == "live" { Paint::Good } else { Paint::Faint };
        let until = token.expires_s.map_or("-".to_owned(), shown_time);
        out.line(format_args!(
            "{}  {:32}  {:8}  {}  made {}  until {until:20}  {}",
            token.id,
            token.name,
            token.role.as_str(),
            kind_of(token),
            shown_time(token.created_s),
            out.paint(paint, state)
        ))?;
    }
    if !tokens.damaged().is_empty() {
        let words = format!(
            "damaged lines, which open nothing: {:?} of {}",
            tokens.damaged(),
            credentials::TOKENS_FILE
        );
        return Err(Failure::new(Exit::Data, words));
    }
    Ok(())
}

/// `token rotate`.
pub fn rotate(config: &Config, out: &mut Out) -> Result<(), Failure> {
    if config.security.secret_key.is_some() {
        return Err(Failure::new(
            Exit::Config,
            "security.secret_key signs: put a new one there, and the old one into security.secret_key_previous",
        ));
    }
    let dir = state::dir_of(&config.ledger.path);
    let keys = credentials::rotate_keys(&dir).map_err(|error| unwritten(&error))?;
    for (index, key) in keys.iter().enumerate() {
        let use_of = if index == 0 { "signs" } else { "is still taken, until the next rotation" };
        out.line(format_args!("{}  {use_of}", jwt::Key::new(key.0.as_bytes()).kid()))?;
    }
    Ok(())
}

fn change<T>(dir: &Path, change: impl FnOnce(&mut Tokens) -> Result<T, Refused>) -> Result<T, Failure> {
    credentials::change_tokens(dir, change).map_err(|Refused(failure)| failure)
}

fn now_s() -> i64 {
    clock::system_now().0.div_euclid(1_000)
}

fn shown_time(at_s: i64) -> String {
    let text = format_rfc3339(Wall(at_s.saturating_mul(1_000)));
    text.replace(".000Z", "Z")
}

fn kind_of(token: &Token) -> &'static str {
    match token.proof {
        Proof::Key(_) => "key",
        Proof::Jwt(_) => "jwt",
    }
}

fn state_of(token: &Token, now_s: i64) -> &'static str {
    match (token.revoked_s, token.is_live(now_s)) {
        (Some(_), _) => "revoked",
        (None, true) => "live",
        (None, false) => "expired",
    }
}

fn json(tokens: &Tokens, now_s: i64) -> String {
    let mut text = "[".to_owned();
    for (index, token) in tokens.list().iter().enumerate() {
        text.push_str(if index > 0 { ",{" } else { "{" });
        push_text(&mut text, "id", &token.id);
        push_text(&mut text, "name", &token.name);
        push_text(&mut text, "role", token.role.as_str());
        push_text(&mut text, "kind", kind_of(token));
        push_text(&mut text, "created", &shown_time(token.created_s));
        match token.expires_s {
            Some(at) => push_text(&mut text, "expires", &shown_time(at)),
            None => push_raw(&mut text, "expires", "null"),
        }
        push_text(&mut text, "state", state_of(token, now_s));
        text.push('}');
    }
    text.push(']');
    text
}
