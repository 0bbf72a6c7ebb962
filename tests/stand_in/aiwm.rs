//! The AIWM controller in its three generations.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::json::{self, Value};
use super::port::{Answer, Peer, Port, Request};
use super::watched::Watched;

pub const AGENT_ID: &str = "65f0c0ffee65f0c0ffee65f0";
pub const FIRST_SECRET: &str = "3b1f0c53a7d94c1e8f2a6b7c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f80912";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    A,
    B,
    C,
}

#[derive(Debug)]
pub struct State {
    pub generation: Generation,
    pub secret: String,
    pub is_suspended: bool,
    /// The agent was deleted.
    pub is_forgotten: bool,
    /// Every answer has this status.
    pub fails_with: Option<u16>,
    pub claude_model: String,
    /// Work that c hands out with the next idle heartbeat.
    pub work: Option<String>,
    tokens: Vec<String>,
    pub seen: Vec<Request>,
    pub connects: usize,
    pub connects_refused: usize,
    /// Bodies of heartbeats that were taken.
    pub beats: Vec<Value>,
    pub beats_refused: usize,
    pub disconnects: usize,
}

pub struct Aiwm {
    pub state: Watched<State>,
}

/// A new one on its own port.
pub fn open(generation: Generation) -> Port<Aiwm> {
    Port::open(Aiwm {
        state: Watched::new(State {
            generation,
            secret: FIRST_SECRET.to_owned(),
            is_suspended: false,
            is_forgotten: false,
            fails_with: None,
            claude_model: "claude-stand-in-1".to_owned(),
            work: None,
            tokens: Vec::new(),
            seen: Vec::new(),
            connects: 0,
            connects_refused: 0,
            beats: Vec::new(),
            beats_refused: 0,
            disconnects: 0,
        }),
    })
}

impl Peer for Aiwm {
    fn answer(&self, request: Request) -> Answer {
        self.state.change(|state| {
            let mut answer = state.answer(&request);
            let correlation = request.header("x-correlation-id").unwrap_or("made-by-the-stand-in").to_owned();
            answer.headers.push(("X-Correlation-Id".to_owned(), correlation));
            state.seen.push(request);
            answer
        })
    }
}

impl State {
    /// All tokens that were given out are worth nothing any more.
    pub fn rotate_signing_key(&mut self) {
        self.tokens.clear();
    }

    fn answer(&mut self, request: &Request) -> Answer {
        if let Some(status) = self.fails_with {
            return error(status, "Internal server error", &request.path);
        }
        let path = request.path.as_str();
        if request.method != "POST" {
            return error(404, &format!("Cannot {} {path}", request.method), path);
        }
        if path == "/agents/heartbeat" && self.generation == Generation::C {
            return self.heartbeat(request, AGENT_ID);
        }
        let Some((id, action)) = path.strip_prefix("/agents/").and_then(|rest| rest.split_once('/')) else {
            return error(404, &format!("Cannot POST {path}"), path);
        };
        if id.len() != 24 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
            return error(500, "Internal server error", path);
        }
        match action {
            "connect" => self.connect(request, id),
            "heartbeat" => self.heartbeat(request, id),
            "disconnect" if self.generation != Generation::A => self.disconnect(request),
            _ => error(404, &format!("Cannot POST {path}"), path),
        }
    }

    fn connect(&mut self, request: &Request, id: &str) -> Answer {
        let answer = self.try_connect(request, id);
        if answer.status == 201 {
            self.connects += 1;
        } else {
            self.connects_refused += 1;
        }
        answer
    }

    fn try_connect(&mut self, request: &Request, id: &str) -> Answer {
        let body = json::parse(&request.body).unwrap_or(Value::Null);
        let Some(secret) = json::str_at(&body, &["secret"]) else {
            return invalid("secret must be a string", &request.path);
        };
        if id != AGENT_ID || self.is_forgotten {
            return error(404, &format!("Agent with ID {id} not found"), &request.path);
        }
        if self.is_suspended {
            return error(401, "Agent is suspended", &request.path);
        }
        if secret != self.secret {
            return error(401, "Invalid credentials", &request.path);
        }
        let token = self.token();
        Answer::json(201, self.connected(&token))
    }

    fn heartbeat(&mut self, request: &Request, id: &str) -> Answer {
        let answer = self.try_heartbeat(request, id);
        if answer.status == 201 {
            self.beats.push(json::parse(&request.body).unwrap_or(Value::Null));
        } else {
            self.beats_refused += 1;
        }
        answer
    }

    fn try_heartbeat(&mut self, request: &Request, id: &str) -> Answer {
        if !self.has_token(request) {
            return error(401, "Unauthorized", &request.path);
        }
        let body = json::parse(&request.body).unwrap_or(Value::Null);
        let status = json::str_at(&body, &["status"]).unwrap_or_default();
        let known: &[&str] =
            if self.generation == Generation::C { &["idle", "busy"] } else { &["online", "busy", "idle"] };
        if !known.contains(&status) {
            return invalid("status must be one of the following values: ", &request.path);
        }
        if matches!(json::at(&body, &["metrics"]), Some(Value::Array(_) | Value::String(_))) {
            return invalid("metrics must be an object", &request.path);
        }
        if id != AGENT_ID || self.is_forgotten {
            return error(404, &format!("Agent with ID {id} not found"), &request.path);
        }
        if self.is_suspended && self.generation == Generation::C {
            return error(400, "Agent is suspended. Heartbeat rejected.", &request.path);
        }
        match self.work.take().filter(|_| self.generation == Generation::C && status == "idle") {
            None => Answer::json(201, r#"{"success":true}"#),
            Some(title) => Answer::json(
                201,
                format!(
                    r#"{{"success":true,"work":{{"id":"w1","title":{title},"type":"task","status":"todo","priorityLevel":1}},"systemMessage":"m","systemTask":{{"type":"work","id":"w1","title":{title}}}}}"#,
                    title = json::quoted(&title)
                ),
            ),
        }
    }

    fn disconnect(&mut self, request: &Request) -> Answer {
        if !self.has_token(request) {
            return error(401, "Unauthorized", &request.path);
        }
        self.disconnects += 1;
        Answer::json(201, r#"{"success":true}"#)
    }

    fn has_token(&self, request: &Request) -> bool {
        let (scheme, token) =
            request.header("authorization").and_then(|value| value.split_once(' ')).unwrap_or_default();
        scheme.eq_ignore_ascii_case("bearer") && self.tokens.iter().any(|known| known == token)
    }

    /// A JWT, signed with a key that nobody knows: only this stand-in has to recognise it.
    fn token(&mut self) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let organisation = if self.generation == Generation::A { r#"{"_id":"o"}"# } else { r#""o""# };
        let claims = format!(
            r#"{{"sub":"{AGENT_ID}","type":"agent","orgId":{organisation},"iat":{now},"exp":{},"n":{}}}"#,
            now + 86_400,
            self.tokens.len()
        );
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let mac = hmac_sha256::HMAC::mac(signed.as_bytes(), b"stand-in");
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac));
        self.tokens.push(token.clone());
        token
    }

    fn connected(&self, token: &str) -> String {
        let model = json::quoted(&self.claude_model);
        let tool = r#"{"_id":"t1","name":"web_search","type":"mcp","description":"d","status":"active","owner":{},"isDeleted":false,"__v":0}"#;
        let servers = format!(
            r#"{{"Builtin":{{"type":"http","url":"http://127.0.0.1:9/mcp","headers":{{"Authorization":"Bearer {token}"}}}}}}"#
        );
        match self.generation {
            Generation::A => format!(
                r#"{{"token":"{token}","instruction":"You are a stand-in.\n\n## Guidelines\n1. Be brief","tools":[{tool}],"agent":{{"id":"{AGENT_ID}","name":"Stand-in agent","orgId":"[object Object]"}},"settings":{{"claudeModel":{model},"maxTurns":7,"discord":{{"token":"discord-secret-1","channelIds":["1","2"]}}}}}}"#
            ),
            Generation::B => format!(
                r#"{{"accessToken":"{token}","tokenType":"bearer","expiresIn":86400,"refreshToken":null,"refreshExpiresIn":0,"instruction":{{"id":"i1","systemPrompt":"You are a stand-in.","guidelines":["Be brief"]}},"mcpServers":{servers},"settings":{{"claude_model":{model},"claude_maxTurns":7,"discord_token":"discord-secret-1","discord_channelIds":"1,2"}}}}"#
            ),
            Generation::C => format!(
                r#"{{"accessToken":"{token}","tokenType":"bearer","expiresIn":86400,"refreshToken":null,"refreshExpiresIn":0,"id":"{AGENT_ID}","name":"Stand-in agent","instruction":{{"id":"{AGENT_ID}","systemPrompt":"<system>You are a stand-in.</system>\n\n---\n\n<runtime>\nDatetime: {}\n</runtime>"}},"tools":[{tool}],"allowedFunctions":[],"framework":"claude-agent-sdk","mcpServers":{servers},"settings":{{"claude_model":{model},"claude_maxTurns":7}},"channels":[]}}"#,
                self.connects
            ),
        }
    }
}

fn error(status: u16, message: &str, path: &str) -> Answer {
    Answer::json(
        status,
        format!(
            r#"{{"statusCode":{status},"message":{},"timestamp":"2026-01-01T00:00:00.000Z","path":{},"correlationId":"c"}}"#,
            json::quoted(message),
            json::quoted(path)
        ),
    )
}

fn invalid(fault: &str, path: &str) -> Answer {
    Answer::json(
        400,
        format!(
            r#"{{"statusCode":400,"message":"Validation failed","errors":[{}],"timestamp":"2026-01-01T00:00:00.000Z","path":{},"correlationId":"c"}}"#,
            json::quoted(fault),
            json::quoted(path)
        ),
    )
}
