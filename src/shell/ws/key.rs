//! The key of a WebSocket's handshake, and the word that accepts it (RFC 6455, section 4).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// What the RFC puts behind a key.
const BEHIND_KEY: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the server answers to this key.
pub fn accept_of(key: &str) -> String {
    let hash = Sha1::new().chain_update(key).chain_update(BEHIND_KEY).finalize();
    STANDARD.encode(hash)
}

/// A key that nobody can know beforehand.
///
/// # Errors
/// There is no randomness.
pub fn fresh_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_accepted_as_the_rfc_says() {
        assert_eq!(accept_of("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let keys = [fresh_key(), fresh_key()].map(|key| key.expect("randomness"));
        assert_eq!(keys.each_ref().map(String::len), [24, 24]);
        assert_ne!(keys[0], keys[1]);
    }
}
