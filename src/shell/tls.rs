//! TLS for outgoing calls: rustls with ring under ureq.
//!
//! ureq's own connector is not used for two reasons. It makes the whole configuration anew for every request that has
//! a time-out of its own, so nothing is ever resumed; and it trusts either the public certificates or given ones, while
//! a board on a LAN needs both: its controller's own authority, and a model's server on the internet.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, OnceLock};

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use ureq::Error;
use ureq::unversioned::transport::time::{Duration, Instant};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport, TransportAdapter,
};

/// Sessions that are remembered to be resumed. rustls keeps up to eight of one server, so this is four servers.
const SESSIONS_MAX: usize = 32;

/// Wraps a connection in TLS if the URL says `https`. The configuration is made at the first such call: a board whose
/// peers are all on the LAN never pays for it.
pub struct Tls {
    extra: Vec<CertificateDer<'static>>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Tls {
    /// `extra_ca_pem`: certificates that are trusted beside the public ones.
    ///
    /// # Errors
    /// The PEM text holds no certificate, or one that cannot be read.
    pub fn new(extra_ca_pem: Option<&[u8]>) -> io::Result<Self> {
        let extra = extra_ca_pem.map(certificates).transpose()?.unwrap_or_default();
        Ok(Self { extra, config: OnceLock::new() })
    }

    /// The configuration of a client.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(self.config.get_or_init(|| Arc::new(config_with(&self.extra))))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls {{ extra: {} }}", self.extra.len())
    }
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let bad = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let mut store = RootCertStore::empty();
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| bad(format!("certificate cannot be read: {error}")))?;
        store.add(certificate.clone()).map_err(|error| bad(format!("certificate is not usable: {error}")))?;
        found.push(certificate);
    }
    if found.is_empty() { Err(bad("no certificate in PEM form".to_owned())) } else { Ok(found) }
}

fn config_with(extra: &[CertificateDer<'static>]) -> ClientConfig {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(extra.iter().cloned());
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(SESSIONS_MAX);
    config
}

impl<In: Transport> Connector<In> for Tls {
    type Out = Either<In, TlsTransport>;

    fn connect(&self, details: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        let Some(transport) = chained else { return Ok(None) };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let mut connection = ClientConnection::new(self.config(), server_name(details)?)?;
        let mut socket = TransportAdapter::new(Box::new(transport) as _, Arc::clone(&details.current_time));
        socket.set_timeout(remaining(details));
        connection.complete_io(&mut socket)?;
        let buffers =
            LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Either::B(TlsTransport { buffers, stream: StreamOwned::new(connection, socket) })))
    }
}

fn server_name(details: &ConnectionDetails) -> Result<ServerName<'static>, Error> {
    let host = details.uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| Error::Tls("host is neither a name nor an address"))
}

/// The time to connect, less what TCP took of it.
fn remaining(details: &ConnectionDetails) -> NextTimeout {
    let mut timeout = details.timeout;
    if let (Duration::Exact(limit), Instant::Exact(from), Instant::Exact(now)) =
        (timeout.after, details.now, (details.current_time)())
    {
        timeout.after = Duration::Exact(limit.saturating_sub(now.saturating_duration_since(from)));
    }
    timeout
}

/// A connection under TLS.
pub struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.get_mut().set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.get_mut().set_timeout(timeout);
        let amount = self.stream.read(self.buffers.input_append_buf())?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}
