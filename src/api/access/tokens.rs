//! The tokens that were made here: the text of the file `tokens`, a line for each.
//!
//! ```text
//! # comment
//! <id> <name> <role> key <created s> <expires s or -> <SHA-256 of the key, hex> <revoked s or -> <check>
//! <id> <name> <role> jwt <created s> <expires s>      <kid>                     <revoked s or -> <check>
//! ```
//!
//! `check` is the beginning of the line's own SHA-256. A line that does not fit is no token: it opens nothing, whatever was
//! to be read in it. A key is `cb_<id>_<43 digits of base64url>`; it is never written down here, only its hash.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac_sha256::Hash;

use crate::agent::ids::hex;
use crate::agent::limits::{TOKEN_LINES_MAX, TOKENS_MAX};
use crate::api::routes::Role;
use crate::wire::standard_webhooks::is_equal;

/// Longest name of a token in bytes: `a-z A-Z 0-9 . _ -`.
pub const TOKEN_NAME_BYTES_MAX: usize = 32;
/// Largest file that is read, in bytes.
pub const TOKENS_BYTES_MAX: usize = TOKEN_LINES_MAX * 256;
/// Hex digits of a token's id.
const ID_DIGITS: usize = 12;
/// Hex digits of a line's check.
const CHECK_DIGITS: usize = 16;
const PREFIX: &str = "cb_";

/// What was handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// An API key: its SHA-256.
    Key([u8; 32]),
    /// A JSON Web Token: the name of the key that signed it.
    Jwt(String),
}

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// 12 hex digits, not a secret.
    pub id: String,
    /// Of whoever holds it, at most `TOKEN_NAME_BYTES_MAX` bytes.
    pub name: String,
    /// What it allows: viewer, operator or admin.
    pub role: Role,
    /// How it is known.
    pub proof: Proof,
    /// Seconds since 1970, by the clock of then.
    pub created_s: i64,
    /// Seconds since 1970.
    pub expires_s: Option<i64>,
    /// Seconds since 1970.
    pub revoked_s: Option<i64>,
}

/// All tokens of the file, revoked ones among them, the oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Tokens {
    list: Vec<Token>,
    damaged: Vec<usize>,
}

/// Why a token cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddFault {
    /// The name is empty, too long, or has other characters.
    Name,
    /// A live token has it.
    Taken,
    /// There are `TOKENS_MAX` live ones.
    Full,
}

impl std::fmt::Display for AddFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name => {
                write!(f, "name must be 1 to {TOKEN_NAME_BYTES_MAX} characters of A-Z a-z 0-9 . _ -")
            }
            Self::Taken => f.write_str("a live token has this name: revoke that one, or take another name"),
            Self::Full => write!(f, "there are {TOKENS_MAX} live tokens: revoke one first"),
        }
    }
}

impl Token {
    /// Whether it is neither revoked nor expired at `now_s`.
    #[must_use]
    pub fn is_live(&self, now_s: i64) -> bool {
        self.revoked_s.is_none() && self.expires_s.is_none_or(|expires| now_s < expires)
    }

    fn line(&self) -> String {
        let (kind, proof) = match &self.proof {
            Proof::Key(hash) => ("key", hex(hash)),
            Proof::Jwt(kid) => ("jwt", kid.clone()),
        };
        let time = |time: Option<i64>| time.map_or("-".to_owned(), |time| time.to_string());
        let mut line = format!(
            "{} {} {} {kind} {} {} {proof} {}",
            self.id,
            self.name,
            self.role.as_str(),
            self.created_s,
            time(self.expires_s),
            time(self.revoked_s)
        );
        let check = check_of(&line);
        line.push(' ');
        line.push_str(&check);
        line
    }

    fn parse(line: &str) -> Option<Self> {
        let (text, check) = line.rsplit_once(' ')?;
        if check_of(text) != check {
            return None;
        }
        let mut words = text.split(' ');
        let mut word = || words.next();
        let (id, name, role, kind) = (word()?, word()?, word()?, word()?);
        let (created, expires, proof, revoked) = (word()?, word()?, word()?, word()?);
        let time = |text: &str| if text == "-" { Some(None) } else { text.parse().ok().map(Some) };
        let proof = match kind {
            "key" => Proof::Key(unhex(proof)?),
            "jwt" if is_hex(proof, 16) => Proof::Jwt(proof.to_owned()),
            _ => return None,
        };
        let is_good = word().is_none() && is_hex(id, ID_DIGITS) && is_name(name);
        is_good.then_some(Self {
            id: id.to_owned(),
            name: name.to_owned(),
            role: Role::parse(role)?,
            proof,
            created_s: created.parse().ok()?,
            expires_s: time(expires)?,
            revoked_s: time(revoked)?,
        })
    }
}

impl Tokens {
    /// Reads the file's text. What does not fit is passed over and counted; of two lines with one id neither counts.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut tokens = Self::default();
        let mut list: Vec<(usize, Token)> = Vec::new();
        for (index, line) in text.lines().enumerate().take(TOKEN_LINES_MAX + 1) {
            let is_nothing = line.trim().is_empty() || line.starts_with('#');
            match Token::parse(line) {
                _ if is_nothing => {}
                Some(token) if list.len() < TOKEN_LINES_MAX => list.push((index + 1, token)),
                _ => tokens.damaged.push(index + 1),
            }
        }
        for (place, token) in &list {
            let twins = list.iter().filter(|(_, other)| other.id == token.id).count();
            if twins == 1 {
                tokens.list.push(token.clone());
            } else {
                tokens.damaged.push(*place);
            }
        }
        tokens
    }

    /// The file's text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::from("# Tokens of this agent: see `chainbot token list`. Holds no secret.\n");
        for token in &self.list {
            let _ = writeln!(text, "{}", token.line());
        }
        text
    }

    /// Numbers of the lines that are no tokens, from 1.
    #[must_use]
    pub fn damaged(&self) -> &[usize] {
        &self.damaged
    }

    /// Every token, the oldest first.
    #[must_use]
    pub fn list(&self) -> &[Token] {
        &self.list
    }

    /// The token with this id, revoked or not.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&Token> {
        self.list.iter().find(|token| token.id == id)
    }

    /// The token of this API key, if it is not revoked.
    #[must_use]
    pub fn find_key(&self, key: &str) -> Option<&Token> {
        let id = key.strip_prefix(PREFIX)?.get(..ID_DIGITS)?;
        let token = self.find(id).filter(|token| token.revoked_s.is_none())?;
        let Proof::Key(hash) = &token.proof else { return None };
        is_equal(hash, &Hash::hash(key.as_bytes())).then_some(token)
    }

    /// Adds one. What is revoked or expired is forgotten, the oldest first, where there is no room otherwise.
    ///
    /// # Errors
    /// The name is no name, or taken, or there are too many.
    pub fn add(&mut self, token: Token, now_s: i64) -> Result<(), AddFault> {
        if !is_name(&token.name) {
            return Err(AddFault::Name);
        }
        let mut live = self.list.iter().filter(|token| token.is_live(now_s));
        if live.clone().any(|other| other.name == token.name || other.id == token.id) {
            return Err(AddFault::Taken);
        }
        if live.by_ref().count() >= TOKENS_MAX {
            return Err(AddFault::Full);
        }
        while self.list.len() >= TOKEN_LINES_MAX {
            let dead = self.list.iter().position(|token| !token.is_live(now_s));
            self.list.remove(dead.ok_or(AddFault::Full)?);
        }
        self.list.push(token);
        Ok(())
    }

    /// Revokes the live token with this id or name; gives it.
    pub fn revoke(&mut self, which: &str, now_s: i64) -> Option<&Token> {
        let is_it =
            |token: &&mut Token| token.revoked_s.is_none() && (token.id == which || token.name == which);
        // A name may have been used before: the newest has it.
        let token = self.list.iter_mut().rev().find(is_it)?;
        token.revoked_s = Some(now_s);
        Some(token)
    }
}

/// A new API key and its token's proof, made of 38 random bytes.
#[must_use]
pub fn new_key(random: &[u8; 38]) -> (String, String, Proof) {
    let (id, secret) = random.split_at(ID_DIGITS / 2);
    let id = hex(id);
    let key = format!("{PREFIX}{id}_{}", URL_SAFE_NO_PAD.encode(secret));
    let proof = Proof::Key(Hash::hash(key.as_bytes()));
    (id, key, proof)
}

fn is_name(name: &str) -> bool {
    (1..=TOKEN_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn check_of(line: &str) -> String {
    let mut check = hex(&Hash::hash(line.as_bytes()));
    check.truncate(CHECK_DIGITS);
    check
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if !is_hex(text, 64) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(n: u8, name: &str) -> (String, Token) {
        let (id, key, proof) = new_key(&[n; 38]);
        let token = Token {
            id,
            name: name.to_owned(),
            role: Role::Operator,
            proof,
            created_s: 1_000,
            expires_s: None,
            revoked_s: None,
        };
        (key, token)
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut tokens = Tokens::default();
        tokens.add(token(1, "phone").1, 0).unwrap();
        let (id, _, _) = new_key(&[2; 38]);
        let jwt = Proof::Jwt("0123456789abcdef".to_owned());
        let second =
            Token { id, proof: jwt, expires_s: Some(9_000), revoked_s: Some(-5), ..token(2, "a.B_-9").1 };
        tokens.add(second, 0).unwrap();
        let text = tokens.text();
        assert_eq!(Tokens::parse(&text), tokens);
        assert_eq!(Tokens::parse(&text.replace('\n', "\r\n\n# more\n")), tokens, "an editor was here");
        assert!(text.len() < TOKENS_BYTES_MAX / 16);
    }

    #[test]
    fn a_key_is_known_by_its_hash_alone_until_it_is_revoked() {
        let (key, phone) = token(1, "phone");
        let mut tokens = Tokens::default();
        tokens.add(phone.clone(), 0).unwrap();
        assert!(!tokens.text().contains(&key[16..]));
        assert_eq!((key.len(), tokens.find_key(&key)), (3 + 12 + 1 + 43, Some(&phone)));
        let other = token(2, "x").0;
        let mixed = format!("{}{}", &key[..16], &other[16..]);
        for wrong in
            [&key[..58], &format!("{key}A"), &mixed, "", "cb_", "cb_010101010101", "cb_ü10101010101_"]
        {
            assert_eq!(tokens.find_key(wrong), None, "{wrong}");
        }
        assert_eq!(tokens.revoke("nobody", 7), None);
        assert_eq!(tokens.revoke("phone", 7).and_then(|token| token.revoked_s), Some(7));
        assert_eq!(tokens.find_key(&key), None);
        assert_eq!(tokens.revoke(&phone.id, 8), None, "once is enough");
    }

    #[test]
    fn a_damaged_line_is_no_token_and_is_told() {
        let mut tokens = Tokens::default();
        tokens.add(token(1, "one").1, 0).unwrap();
        tokens.add(token(2, "two").1, 0).unwrap();
        let text = tokens.text();
        let first = text.lines().nth(1).unwrap();
        for at in 0..first.len() {
            for bit in 0..7 {
                let mut bytes = first.as_bytes().to_vec();
                bytes[at] ^= 1 << bit;
                let line = String::from_utf8(bytes).unwrap();
                let found = Tokens::parse(&text.replace(first, &line));
                assert!(found.list().iter().all(|token| token.name == "two"), "{line:?}");
            }
        }
        let cut = Tokens::parse(&text[..text.len() - 2]);
        assert_eq!((cut.list().len(), cut.damaged()), (1, &[3][..]));
        let doubled = Tokens::parse(&format!("{text}{first}\n"));
        assert_eq!((doubled.list().len(), doubled.damaged()), (1, &[2, 4][..]), "two with one id: neither");
        assert_eq!(Tokens::parse(&"x\n".repeat(10_000)).damaged().len(), TOKEN_LINES_MAX + 1);
    }

    #[test]
    fn names_are_names_and_live_ones_are_counted() {
        let mut tokens = Tokens::default();
        let long = "n".repeat(TOKEN_NAME_BYTES_MAX + 1);
        for bad in ["", "a b", "ü", "a/b", "a\n", &long] {
            assert_eq!(tokens.add(token(1, bad).1, 0), Err(AddFault::Name), "{bad:?}");
        }
        let count = u8::try_from(TOKENS_MAX).unwrap();
        for n in 0..count {
            tokens.add(token(n, &format!("t{n}")).1, 0).unwrap();
        }
        assert_eq!(tokens.add(token(200, "more").1, 0), Err(AddFault::Full));
        assert_eq!(tokens.add(token(200, "t3").1, 0), Err(AddFault::Taken));
        // What is dead goes when there is no room, and not before.
        for n in 0..count {
            tokens.revoke(&format!("t{n}"), 1).unwrap();
            tokens.add(token(100 + n, &format!("u{n}")).1, 2).unwrap();
        }
        assert_eq!(tokens.list().len(), TOKEN_LINES_MAX);
        tokens.revoke("u0", 3).unwrap();
        tokens.add(token(99, "t3").1, 4).unwrap();
        assert_eq!((tokens.list().len(), tokens.list()[0].name.as_str()), (TOKEN_LINES_MAX, "t1"));
        assert!(Tokens::parse(&tokens.text()) == tokens && tokens.text().len() <= TOKENS_BYTES_MAX);
    }
}
