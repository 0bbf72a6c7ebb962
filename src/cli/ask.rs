//! Questions to the running agent: plain HTTP to the address of the config.

use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use ureq::http;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, TcpConnector};

use super::out::{Exit, Failure, printable};
use crate::wire::json::Json;

/// Time for one question, in seconds. The agent answers from memory; the ledger may be slow on an SD card.
const TIMEOUT_S: u64 = 20;
/// Largest answer that is read, in bytes: a page of the largest events fits.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Longest line of a streamed answer in bytes: the largest message, every byte of it escaped.
const ANSWER_LINE_BYTES_MAX: u64 = 256 * 1024;

/// The agent at the address of the config. No connection is kept between two questions.
pub struct RunningAgent {
    http: ureq::Agent,
    base: String,
    token: String,
}

/// Why there is no answer, or no good one.
#[derive(Debug)]
pub enum AskFault {
    /// Nobody there, or it did not answer in time.
    Unreachable(String),
    /// It answered with this status, and says why.
    Refused(u16, String),
}

impl RunningAgent {
    /// The agent that listens at `host` and `port`. `token` is empty if none is configured.
    pub fn new(host: IpAddr, port: u16, token: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(crate::wire::USER_AGENT)
            .timeout_global(Some(Duration::from_secs(TIMEOUT_S)))
            .build();
        let http =
            ureq::Agent::with_parts(config, ().chain(TcpConnector::default()), DefaultResolver::default());
        Self { http, base: format!("http://{}:{port}", reachable(host)), token: token.to_owned() }
    }

    /// `http://host:port`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The body of a 200.
    ///
    /// # Errors
    /// No answer, or another status.
    pub fn get(&self, path: &str) -> Result<String, AskFault> {
        let (status, body) = self.exchange(http::Request::get(format!("{}{path}", self.base)), None)?;
        if status == 200 { Ok(body) } else { Err(AskFault::Refused(status, problem_of(&body))) }
    }

    /// Posts a JSON body and gives each line of the answer to `on_line` as it comes, however long that takes; stops when that
    /// says `false`. Gives the status; of another than 200, its problem.
    ///
    /// # Errors
    /// No answer, or another status.
    pub fn stream(
        &self,
        path: &str,
        body: &str,
        mut on_line: impl FnMut(&str) -> bool,
    ) -> Result<(), AskFault> {
        let mut request = http::Request::post(format!("{}{path}", self.base))
            .header("content-type", "application/json")
            .header("connection", "close");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let unreachable = |error: ureq::Error| AskFault::Unreachable(plain_words(&error));
        let built = request.body(body).map_err(|error| unreachable(error.into()))?;
        let built = self.http.configure_request(built).timeout_global(None).build();
        let mut answer = self.http.run(built).map_err(unreachable)?;
        let status = answer.status().as_u16();
        if status != 200 {
            let text = answer.body_mut().read_to_string().unwrap_or_default();
            return Err(AskFault::Refused(status, problem_of(&text)));
        }
        let mut reader = BufReader::new(answer.into_body().into_reader());
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = (&mut reader).take(ANSWER_LINE_BYTES_MAX).read_until(b'\n', &mut line);
            match read {
                Ok(0) => return Ok(()),
                Ok(_) if on_line(String::from_utf8_lossy(&line).trim_end()) => {}
                Ok(_) => return Ok(()),
                Err(error) => return Err(AskFault::Unreachable(error.to_string())),
            }
        }
    }

    /// Posts a JSON body and gives status and body of the answer, whatever it is.
    ///
    /// # Errors
    /// No answer.
    pub fn post(
        &self,
        path: &str,
        headers: &[(&str, String)],
        body: &str,
    ) -> Result<(u16, String), AskFault> {
        let mut request =
            http::Request::post(format!("{}{path}", self.base)).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.exchange(request, Some(body))
    }

    fn exchange(
        &self,
        mut request: http::request::Builder,
        body: Option<&str>,
    ) -> Result<(u16, String), AskFault> {
        request = request.header("connection", "close");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let answer = match body {
            None => request.body(()).map_err(ureq::Error::from).and_then(|request| self.http.run(request)),
            Some(body) => {
                request.body(body).map_err(ureq::Error::from).and_then(|request| self.http.run(request))
            }
        };
        let unreachable = |error: ureq::Error| AskFault::Unreachable(plain_words(&error));
        let mut answer = answer.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body =
            answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string().map_err(unreachable)?;
        Ok((status, body))
    }

    /// What to tell about a question that was not answered.
    pub fn failure(&self, fault: &AskFault) -> Failure {
        let base = &self.base;
        match fault {
            AskFault::Unreachable(why) => Failure::new(
                Exit::Unavailable,
                format_args!(
                    "no agent answers at {base} ({why})\nIs it running? The address is server.host and server.port of the config."
                ),
            ),
            AskFault::Refused(status @ (401 | 403), why) => Failure::new(
                Exit::Unavailable,
                format_args!(
                    "the agent at {base} answered {status}: {why}\nThe token is security.token of the config."
                ),
            ),
            AskFault::Refused(status, why) => {
                Failure::new(Exit::Unavailable, format_args!("the agent at {base} answered {status}: {why}"))
            }
        }
    }
}

/// Where a listener at `host` is reached from this machine: "everywhere" is also loopback.
fn reachable(host: IpAddr) -> String {
    match host {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.to_string(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) if ip.is_unspecified() => format!("[{}]", Ipv6Addr::LOCALHOST),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

/// The `detail` of a problem, or the beginning of whatever it is.
pub fn problem_of(body: &str) -> String {
    let detail = Json::parse(body.as_bytes()).ok().and_then(|json| json.get("detail")?.text());
    let text = detail.as_deref().unwrap_or(body.trim());
    printable(&text.chars().take(300).collect::<String>())
}

fn plain_words(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no answer within {TIMEOUT_S} s"),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            "connection refused".to_owned()
        }
        ureq::Error::HostNotFound => "the name has no address".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_everywhere_is_asked_at_loopback() {
        for (host, asked) in [
            ("127.0.0.1", "127.0.0.1"),
            ("0.0.0.0", "127.0.0.1"),
            ("::", "[::1]"),
            ("fd00::7", "[fd00::7]"),
            ("192.168.1.4", "192.168.1.4"),
        ] {
            assert_eq!(reachable(host.parse().unwrap()), asked);
        }
    }

    #[test]
    fn a_problem_is_told_in_its_own_words() {
        assert_eq!(problem_of(r#"{"title":"x","detail":"since is \"a\""}"#), "since is \"a\"");
        assert_eq!(problem_of(" <html>\u{1b}[2J"), "<html>?[2J");
        assert_eq!(problem_of(&"x".repeat(5_000)).len(), 300);
    }
}
