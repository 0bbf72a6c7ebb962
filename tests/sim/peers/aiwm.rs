//! AIWM in its three generations (protocol notes, sections 2 to 6).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chainbot::agent::input::Generation;
use chainbot::wire::HttpRequest;

use super::{Answer, header, object, path_of, string};
use crate::rng::Rng;

/// The agent's id there.
pub const AGENT_ID: &str = "65a0b1c2d3e4f5a6b7c8d9e0";
/// The password that it knows.
pub const SECRET: &str = "right-horse-battery";

/// How it behaves at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// As its generation does.
    Fine,
    /// 500 to everything, or a gateway's 502.
    Erring,
    /// Seconds for each answer, sometimes more than a caller waits.
    Slow,
    /// Our agent is deleted.
    Forgotten,
    /// Our agent is suspended.
    Suspended,
    /// Somebody changed the password.
    Locked,
    /// It gives tokens that it does not take itself: two instances with two keys.
    Split,
    /// Behind its gateway there is nothing: 404 without the service's words.
    Unrouted,
}

/// One AIWM.
#[derive(Debug)]
pub struct Aiwm {
    /// Its shapes.
    pub generation: Generation,
    /// How it is.
    pub mood: Mood,
    /// Heartbeats taken.
    pub beats: u64,
    /// Connects taken.
    pub connects: u64,
    /// Changes with the settings, so that answers differ.
    edition: u64,
    told_edition: u64,
    tokens: BTreeMap<String, i64>,
    key: u64,
}

impl Aiwm {
    /// One that knows us.
    pub fn new(generation: Generation) -> Self {
        Self {
            generation,
            mood: Mood::Fine,
            beats: 0,
            connects: 0,
            edition: 1,
            told_edition: 1,
            tokens: BTreeMap::new(),
            key: 1,
        }
    }

    /// Another mood; sometimes a new key, so that every token is void. Says how long it lasts in milliseconds.
    pub fn change(&mut self, rng: &mut Rng) -> u64 {
        self.mood = match rng.below(100) {
            0..45 => Mood::Fine,
            45..57 => Mood::Erring,
            57..67 => Mood::Slow,
            67..74 => Mood::Forgotten,
            74..82 => Mood::Suspended,
            82..88 => Mood::Locked,
            88..94 => Mood::Split,
            _ => Mood::Unrouted,
        };
        if rng.chance(200) {
            self.tokens.clear();
            self.key += 1;
        }
        if rng.chance(300) {
            self.edition += 1;
        }
        rng.within(5, 15 * 60) * 1_000
    }

    /// Everything is as it should be. What it has not told yet it keeps, so that nothing is new from here on.
    pub fn heal(&mut self) {
        self.mood = Mood::Fine;
        self.edition = self.told_edition;
    }

    /// A request is there: says how long it will take in milliseconds.
    pub fn arrive(&mut self, rng: &mut Rng) -> u64 {
        if self.mood == Mood::Slow { rng.within(500, 25_000) } else { rng.within(2, 260) }
    }

    /// The request is done, at this time of the peer's own calendar in milliseconds.
    pub fn serve(&mut self, request: &HttpRequest, wall_ms: i64, rng: &mut Rng) -> Answer {
        match self.mood {
            Mood::Erring => {
                return if rng.chance(500) { error(500, "Internal server error") } else { bad_gateway() };
            }
            Mood::Unrouted => return Answer::text(404, "<html><h1>404 Not Found</h1><hr>nginx</html>"),
            _ => {}
        }
        let path = path_of(&request.url).strip_prefix("/dev/aiwm").unwrap_or_default();
        let id = path.strip_prefix("/agents/").and_then(|rest| rest.split_once('/'));
        match (request.method, path, id) {
            ("POST", "/agents/heartbeat", _) if self.generation == Generation::C => {
                self.heartbeat(request, wall_ms)
            }
            ("POST", "/agents/disconnect", _) if self.generation == Generation::C => {
                self.disconnect(request, wall_ms)
            }
            ("POST", _, Some((id, _))) if !is_object_id(id) => error(500, "Internal server error"),
            ("POST", _, Some((id, "connect"))) => self.connect(id, request, wall_ms),
            ("POST", _, Some((_, "heartbeat"))) => self.heartbeat(request, wall_ms),
            ("POST", _, Some((_, "disconnect"))) if self.generation != Generation::A => {
                self.disconnect(request, wall_ms)
            }
            _ => error(404, &format!("Cannot {} {path}", request.method)),
        }
    }

    fn connect(&mut self, id: &str, request: &HttpRequest, wall_ms: i64) -> Answer {
        let Some(secret) =
            object(request).as_ref().and_then(|body| string(body, "secret").map(str::to_owned))
        else {
            return error(400, "Validation failed");
        };
        if id != AGENT_ID || self.mood == Mood::Forgotten {
            return error(404, &format!("Agent with ID {id} not found"));
        }
        if self.mood == Mood::Suspended {
            return error(401, "Agent is suspended");
        }
        if secret != SECRET || self.mood == Mood::Locked {
            return error(401, "Invalid credentials");
        }
        self.connects += 1;
        self.told_edition = self.edition;
        let token = self.new_token(wall_ms);
        Answer::text(201, self.welcome(&token))
    }

    fn new_token(&mut self, wall_ms: i64) -> String {
        let (iat, exp) = (wall_ms / 1_000, wall_ms / 1_000 + 86_400);
        let claims = format!(
            "{{\"sub\":\"{AGENT_ID}\",\"type\":\"agent\",\"orgId\":{{}},\"iat\":{iat},\"exp\":{exp}}}"
        );
        let token = format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode("{\"alg\":\"HS256\",\"typ\":\"JWT\"}"),
            URL_SAFE_NO_PAD.encode(claims),
            URL_SAFE_NO_PAD.encode(format!("key {} connect {}", self.key, self.connects)),
        );
        if self.mood != Mood::Split {
            self.tokens.insert(token.clone(), wall_ms + 86_400_000);
        }
        token
    }

    fn welcome(&self, token: &str) -> String {
        let edition = self.edition;
        match self.generation {
            Generation::A => format!(
                "{{\"token\":\"{token}\",\"instruction\":\"Be brief. Edition {edition}.\",\"tools\":[{{\"_id\":\"1\",\
                 \"name\":\"search\",\"type\":\"mcp\"}}],\"agent\":{{\"id\":\"{AGENT_ID}\",\"name\":\"bot\",\
                 \"orgId\":\"[object Object]\"}},\"settings\":{{\"claudeModel\":\"m{edition}\",\"maxTurns\":20}}}}"
            ),
            Generation::B => format!(
                "{{\"accessToken\":\"{token}\",\"tokenType\":\"bearer\",\"expiresIn\":86400,\"refreshToken\":null,\
                 \"refreshExpiresIn\":0,\"instruction\":{{\"id\":\"\",\"systemPrompt\":\"Be brief. Edition {edition}.\",\
                 \"guidelines\":[]}},\"mcpServers\":{{\"Builtin\":{{\"type\":\"http\",\"url\":\"http://mcp.test/\",\
                 \"headers\":{{\"Authorization\":\"Bearer {token}\"}}}}}},\"settings\":{{\"claude_model\":\"m{edition}\"}}}}"
            ),
            Generation::C => format!(
                "{{\"accessToken\":\"{token}\",\"tokenType\":\"bearer\",\"expiresIn\":86400,\"refreshToken\":null,\
                 \"refreshExpiresIn\":0,\"id\":\"{AGENT_ID}\",\"name\":\"bot\",\"instruction\":{{\"id\":\"{AGENT_ID}\",\
                 \"systemPrompt\":\"<system>Be brief. Edition {edition}.</system>\\n\\n---\\n\\n<runtime>\\nDatetime: {}\
                 \\n</runtime>\"}},\"tools\":[{{\"name\":\"search\",\"type\":\"api\"}}],\"allowedFunctions\":[],\
                 \"settings\":{{\"claude_model\":\"m{edition}\",\"discord_token\":\"s3\"}},\"channels\":[]}}",
                self.connects
            ),
        }
    }

    fn heartbeat(&mut self, request: &HttpRequest, wall_ms: i64) -> Answer {
        if !self.is_authorized(request, wall_ms) {
            return error(401, "Unauthorized");
        }
        let Some(body) = object(request) else { return error(400, "Unexpected token in JSON") };
        let allowed: &[&str] =
            if self.generation == Generation::C { &["idle", "busy"] } else { &["online", "busy", "idle"] };
        if !string(&body, "status").is_some_and(|status| allowed.contains(&status)) {
            return Answer::text(
                400,
                "{\"statusCode\":400,\"message\":\"Validation failed\",\"errors\":[\"status must be one of the \
                 following values: \"],\"correlationId\":\"x\"}",
            );
        }
        match (self.mood, self.generation) {
            (Mood::Forgotten, _) => error(404, &format!("Agent with ID {AGENT_ID} not found")),
            (Mood::Suspended, Generation::C) => error(400, "Agent is suspended. Heartbeat rejected."),
            _ => {
                self.beats += 1;
                let work = if self.generation == Generation::C && self.beats.is_multiple_of(7) {
                    ",\"work\":{\"id\":\"1\",\"title\":\"Tidy up\",\"type\":\"task\",\"status\":\"todo\",\"priorityLevel\":1}"
                } else {
                    ""
                };
                Answer::text(201, format!("{{\"success\":true{work}}}"))
            }
        }
    }

    fn disconnect(&mut self, request: &HttpRequest, wall_ms: i64) -> Answer {
        if self.is_authorized(request, wall_ms) {
            Answer::text(201, "{\"success\":true}")
        } else {
            error(401, "Unauthorized")
        }
    }

    fn is_authorized(&self, request: &HttpRequest, wall_ms: i64) -> bool {
        let token =
            header(request, "authorization").and_then(|value| value.split_once(' ')).map(|(_, token)| token);
        token.and_then(|token| self.tokens.get(token)).is_some_and(|expiry| wall_ms < *expiry)
    }
}

fn is_object_id(id: &str) -> bool {
    id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn error(status: u16, message: &str) -> Answer {
    Answer::text(
        status,
        format!(
            "{{\"statusCode\":{status},\"message\":\"{message}\",\"path\":\"/agents\",\"correlationId\":\"x\"}}"
        ),
    )
}

fn bad_gateway() -> Answer {
    Answer::text(502, "<html><h1>502 Bad Gateway</h1></html>")
}
