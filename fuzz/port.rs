//! What comes in at the open port and from peers, as functions of bytes.

use chainbot::agent::Status;
use chainbot::agent::brain::status::BrainStatus;
use chainbot::agent::counters::Counters;
use chainbot::agent::effect::{Call, EventsPath, Health};
use chainbot::agent::event::{Event, EventDraft};
use chainbot::agent::ids::{EventId, LedgerId, Seq};
use chainbot::agent::input::{AiwmReply, Outcome};
use chainbot::agent::limits::{
    EVENT_MESSAGE_BYTES_MAX, EVENT_TYPE_BYTES_MAX, INSTRUCTION_BYTES_MAX, SETTINGS_MAX, TOOLS_MAX,
};
use chainbot::agent::setup::{Secret, Setup};
use chainbot::agent::status::LedgerStatus;
use chainbot::agent::time::{Trust, Wall};
use chainbot::api::{self, Decision, HttpCounters, ProcessFacts, Request, Security, View};
use chainbot::config;
use chainbot::wire::json::{Json, Kind};
use chainbot::wire::standard_webhooks::{self, Key, SignedHeaders};
use chainbot::wire::webhook::{self, WebhookKind};
use chainbot::wire::{self, HttpReply, aiwm, event_json, http_head, target, time};

const SECRET: &str = "fuzz-secret-of-the-port";

/// Requests, head and body, from this machine (first byte even) or another: whatever they ask, the answer is whole, a refusal
/// says what it refuses, and nobody without a credential changes anything.
pub fn requests(data: &[u8]) {
    let Some((first, bytes)) = data.split_first() else { return };
    let http_head::Scan::Head(head) = http_head::scan(bytes) else { return };
    let Ok(text) = std::str::from_utf8(&bytes[..head.len]) else { return };
    let mut lines = text.trim_start_matches("\r\n").split("\r\n");
    let mut words = lines.next().unwrap_or("").split(' ');
    let (method, address) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let fields: Vec<(String, &str)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim_matches([' ', '\t'])))
        .collect();
    let header = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| *value);
    let header_count = |name: &str| fields.iter().filter(|(key, _)| key == name).count();
    let body = &bytes[head.len..];
    let peer_is_loopback = first & 1 == 0;
    let peer = if peer_is_loopback { [127, 0, 0, 1] } else { [192, 0, 2, 7] }.into();
    let request = Request {
        method,
        path,
        query,
        header: &header,
        header_count: &header_count,
        body,
        peer_is_loopback,
        peer,
    };
    with_view(|view| expect_decision(api::respond(view, &request).decision, &request, text));
}

fn expect_decision(decision: Decision, request: &Request<'_>, head: &str) {
    if let Decision::Answer(answer) = decision {
        assert!((200..600).contains(&answer.status), "{}", answer.status);
        if answer.status >= 400 {
            let json = Json::parse(&answer.body).expect("a refusal is JSON");
            match json.some("error") {
                // OpenAI's shape, on its paths.
                Some(error) => assert!(error.get("message").is_some_and(|text| text.kind() == Kind::Text)),
                None => {
                    let status = json.get("status").and_then(|status| status.u64());
                    assert_eq!(status, Some(u64::from(answer.status)));
                    assert!(
                        json.get("detail").and_then(|text| text.text()).is_some_and(|text| !text.is_empty())
                    );
                }
            }
        }
        for (name, value) in &answer.headers {
            assert!(!value.bytes().any(|b| b < 0x20 && b != b'\t' || b == 0x7f), "{name}: {value:?}");
        }
        let said = String::from_utf8_lossy(&answer.body);
        assert!(!said.contains(SECRET) || head.contains(SECRET), "the secret is told: {said}");
        return;
    }
    if let Decision::Intake { draft, .. } = &decision {
        expect_draft(draft);
    }
    let is_open = matches!(&decision, Decision::Socket(_));
    assert!(request.peer_is_loopback || is_open || head.contains(SECRET), "let in: {decision:?} for {head}");
}

fn expect_draft(draft: &EventDraft) {
    assert!(!draft.kind.is_empty() && draft.kind.len() <= EVENT_TYPE_BYTES_MAX, "{:?}", draft.kind);
    assert!(draft.message.len() <= EVENT_MESSAGE_BYTES_MAX, "{:?}", draft.message);
    let metadata = Json::parse(draft.metadata.0.as_bytes());
    assert!(metadata.is_ok_and(|json| json.kind() == Kind::Object), "{:?}", draft.metadata);
}

fn with_view(f: impl FnOnce(&View<'_>)) {
    let counters = Counters::default();
    let ledger = LedgerStatus { id: LedgerId(7), oldest: Seq(1), durable: Seq(40), pending: 0, fault: None };
    let status = Status {
        at: Wall(1_795_221_371_123),
        trust: Trust::Unset,
        passed: Wall(0),
        uptime_ms: 0,
        health: Health::Healthy,
        attention: None,
        is_stopping: false,
        ledger,
        alexos: None,
        aiwm: None,
        brain: BrainStatus::default(),
        destinations: Vec::new(),
        sample: None,
        counters: &counters,
    };
    let security = Security { token: Some(Secret(SECRET.to_owned())), ..Security::default() };
    let http = HttpCounters::default();
    let process = ProcessFacts {
        rss_kib: 0,
        threads: 0,
        fds: 0,
        connections: 0,
        sockets: 0,
        windows: [0; 6],
        users: 0,
        sessions: 0,
        ledger_bytes: 0,
        throttled: [0; 2],
        http: &http,
    };
    f(&View {
        status: &status,
        setup: &Setup::default(),
        security: &security,
        config_json: &|| "{}".to_owned(),
        version: "1",
        ledger_file: "l",
        process,
        hold: api::Hold::default(),
    });
}

/// Webhooks' bodies, of the kind that the first byte says: what becomes an event is within its limits, and is JSON again as
/// everybody is sent it.
pub fn webhooks(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let kind = WebhookKind::ALL[usize::from(*first) % WebhookKind::ALL.len()];
    let Ok(draft) = webhook::decode(kind, body) else { return };
    expect_draft(&draft);
    let EventDraft { kind, source, severity, message, metadata } = draft;
    let event = Event { seq: Seq(1), at: Wall(0), kind, source, severity, message, metadata };
    let mut out = String::new();
    event_json::push_event(&mut out, &event, EventId { seq: Seq(1), ledger: LedgerId(7) });
    let json = Json::parse(out.as_bytes()).expect("an event is JSON");
    assert_eq!(json.get("type").and_then(|kind| kind.text()).as_deref(), Some(event.kind.as_str()));
    assert_eq!(json.get("message").and_then(|text| text.text()).as_deref(), Some(event.message.as_str()));
}

/// Signed webhooks: id, time and signature by line, then the body. What was not signed does not pass, what was does, and
/// a bit of it changed does not.
pub fn signatures(data: &[u8]) {
    let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a good key");
    let mut parts = data.splitn(4, |b| *b == b'\n');
    let mut text = || parts.next().and_then(|part| std::str::from_utf8(part).ok());
    let (Some(id), Some(timestamp), Some(signature)) = (text(), text(), text()) else { return };
    let body = parts.next().unwrap_or(&[]);
    let headers = SignedHeaders { id: Some(id), timestamp: Some(timestamp), signature: Some(signature) };
    let keys = [key];
    let now = Some(Wall(1_795_221_371_123));
    let is_known = id == "msg_1" && timestamp == "1795221371" && body == b"{}";
    let passes = standard_webhooks::verify(&keys, headers, body, now).is_ok();
    assert!(!passes || is_known, "passed: {headers:?}");
    let Ok(seconds) = timestamp.parse::<i64>() else { return };
    if id.is_empty() || seconds.to_string() != timestamp || timestamp.len() > 12 || seconds < 0 {
        return;
    }
    let signed = keys[0].sign(id, seconds, body);
    let headers = SignedHeaders { signature: Some(&signed), ..headers };
    assert_eq!(standard_webhooks::verify(&keys, headers, body, None), Ok(()));
    let mut changed = body.to_vec();
    changed.push(b' ');
    assert!(standard_webhooks::verify(&keys, headers, &changed, None).is_err());
}

/// Answers of ALEX OS, of AIWM and of receivers of webhooks, to the call and with the status that the first bytes say: what
/// is taken from them is bounded, and what is kept comes back from the ledger as it went there.
pub fn peers(data: &[u8]) {
    let [call, status, body @ ..] = data else { return };
    let status = [200, 201, 204, 301, 400, 401, 403, 404, 405, 409, 422, 429, 500, 501, 502, 503]
        [usize::from(*status % 16)];
    let text = |at: usize| {
        let line = body.split(|b| *b == b'\n').nth(at)?;
        std::str::from_utf8(line).ok().map(str::to_owned)
    };
    let reply = HttpReply {
        status,
        retry_after: text(1),
        date: text(2),
        body: if call & 16 == 0 {
            body.to_vec()
        } else {
            body.split(|b| *b == b'\n').next().unwrap_or(&[]).to_vec()
        },
        over_tls: call & 8 != 0,
    };
    let (outcome, _) = wire::decode(&a_call(call % 6), Ok(reply));
    if let Outcome::Aiwm(AiwmReply::Connected { answer, fact, .. }) = outcome {
        assert!(answer.instruction.len() <= INSTRUCTION_BYTES_MAX);
        assert!(answer.settings.len() <= SETTINGS_MAX);
        assert!(answer.tools.as_ref().is_none_or(|tools| tools.len() <= TOOLS_MAX));
        let kept = aiwm::controller_from_fact(&fact).expect("what was kept is read");
        assert_eq!(aiwm::controller_to_fact(&kept), fact);
    }
}

fn a_call(which: u8) -> Call {
    let event = || Event {
        seq: Seq(1),
        at: Wall(0),
        kind: "a".to_owned(),
        source: chainbot::agent::event::Source::Chainbot,
        severity: chainbot::agent::event::Severity::Info,
        message: String::new(),
        metadata: chainbot::agent::event::JsonText("{}".to_owned()),
    };
    let id = EventId { seq: Seq(1), ledger: LedgerId(7) };
    match which {
        0 => Call::AlexosRegister { at: Wall(0) },
        1 => Call::AlexosCanon,
        2 => Call::AlexosEvent { event: Box::new(event()), id, path: EventsPath::Documented },
        3 => Call::AiwmConnect,
        4 => Call::AiwmDisconnect { token: Secret("t".to_owned()), reason: "r" },
        _ => Call::Hook { key: "k".to_owned(), event: Box::new(event()), id, at: Wall(0) },
    }
}

/// Times, addresses and JSON: what is read can be written and read again.
pub fn texts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(at) = time::parse_rfc3339(text) {
        assert_eq!(time::parse_rfc3339(&time::format_rfc3339(at)), Some(at), "{text}");
    }
    if let Some(at) = time::parse_http_date(text) {
        assert_eq!(time::parse_http_date(&time::format_http_date(at)), Some(at), "{text}");
    }
    if let Some(there) = target::http(text) {
        assert!(!there.host.is_empty() && !there.host.contains(['/', '@', ' ']), "{text}: {}", there.host);
    }
    let Ok(json) = Json::parse(data) else { return };
    let compact = json.compact();
    let again = Json::parse(compact.as_bytes()).expect("compact JSON is JSON");
    assert_eq!(again.compact(), compact);
    assert_eq!(again.kind(), json.kind());
    for (name, value) in json.fields() {
        assert!(json.get(&name).is_some_and(|found| found.kind() == value.kind()
            || json.fields().filter(|(other, _)| *other == name).count() > 1));
    }
}

/// Config files, and the environment in what follows the first NUL, a variable in a line: a fault names what is wrong, in a line
/// that is there; what is taken is shown without the secrets.
pub fn config(data: &[u8]) {
    let Ok(all) = std::str::from_utf8(data) else { return };
    let (file, variables) = all.split_once('\0').unwrap_or((all, ""));
    let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let environment: Vec<(String, String)> = variables.lines().filter_map(pair).collect();
    let read = config::read(&config::Inputs {
        file: Some(("f", file)),
        environment: &environment,
        read: &|_| Err(std::io::ErrorKind::NotFound.into()),
        state_dir: None,
        own_addresses: &[],
        hostname: "board",
        built_at: Wall(5),
    });
    match read {
        Ok(config) => {
            let shown = config::show_json(&config.with_controller(&[]));
            assert!(Json::parse(shown.as_bytes()).is_ok(), "{shown}");
            let secrets = [&config.security.token, &config.security.api_key, &config.security.secret_key];
            for secret in secrets.into_iter().flatten().filter(|secret| !shown_anyway(file, &secret.0)) {
                assert!(!shown.contains(&secret.0), "{shown}");
            }
        }
        Err(faults) => {
            assert!(!faults.is_empty());
            assert!(!config::faults_text(&faults).is_empty());
        }
    }
}

/// Whether the file says it also where it is no secret.
fn shown_anyway(file: &str, secret: &str) -> bool {
    file.matches(secret).count() != 1 || config::docs_text().contains(secret)
}
