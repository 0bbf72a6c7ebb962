//! The files of certificates and keys that the config names: read, checked, and made into what rustls takes.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::tls::Tls;
use crate::config::{Config, TlsFiles};

/// Largest file with certificates or a key, in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What is wrong with a file of certificates or a key: which key of the config names it, and why.
#[derive(Debug)]
pub struct TlsFault {
    key: &'static str,
    path: String,
    why: String,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {:?}: {}", self.key, self.path, self.why)
    }
}

impl std::error::Error for TlsFault {}

/// What the port shows its clients; `None`: it speaks no TLS.
///
/// # Errors
/// A file that cannot be read or understood, or a key that is not the certificate's.
pub fn of_port(config: &Config) -> Result<Option<Arc<ServerConfig>>, TlsFault> {
    config.server.tls.as_ref().map(load).transpose()
}

/// The text of `security.authorities`, if there is one, checked to hold certificates.
///
/// # Errors
/// A file that cannot be read, or in which there is none that can be used.
pub fn authorities(config: &Config) -> Result<Option<Vec<u8>>, TlsFault> {
    let Some(path) = &config.security.authorities else { return Ok(None) };
    let key = "security.authorities";
    let text = read_file(key, path)?;
    Tls::new(Some(&text)).map_err(|error| fault(key, path, &error.to_string()))?;
    Ok(Some(text))
}

fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsFault> {
    let (cert_key, key_key) = ("server.tls_cert", "server.tls_key");
    let at_cert = |why: &str| fault(cert_key, &files.cert, why);
    let at_key = |why: &str| fault(key_key, &files.key, why);
    let text = read_file(cert_key, &files.cert)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| at_cert(&format!("certificate cannot be read: {error}")))?;
    if chain.is_empty() {
        return Err(at_cert("no certificate in PEM form"));
    }
    let text = read_file(key_key, &files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound => at_key("no private key in PEM form"),
        error => at_key(&format!("private key cannot be read: {error}")),
    })?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has suites for TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| at_key(&format!("does not fit the certificate: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Tickets, and no memory of sessions: nobody can fill it, and it costs nothing.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    if let Ok(ticketer) = rustls::crypto::ring::Ticketer::new() {
        config.ticketer = ticketer;
    }
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

fn fault(key: &'static str, path: &Path, why: &str) -> TlsFault {
    TlsFault { key, path: path.display().to_string(), why: why.to_owned() }
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsFault> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    let why = match read {
        Ok(n) if n as u64 <= FILE_BYTES_MAX => return Ok(bytes),
        Ok(_) => format!("must be at most {FILE_BYTES_MAX} bytes"),
        Err(error) => error.to_string(),
    };
    Err(fault(key, path, &why))
}
