//! Every decoder takes broken answers: good ones with bytes changed, lost, doubled and cut, thousands of them.

use chainbot::agent::effect::{BeatStatus, Call};
use chainbot::agent::input::{AiwmReply, Outcome};
use chainbot::agent::limits::{
    CANON_MAX, EVENT_MESSAGE_BYTES_MAX, INSTRUCTION_BYTES_MAX, SETTINGS_MAX, TOOLS_MAX,
};
use chainbot::agent::setup::Secret;
use chainbot::agent::time::Wall;
use chainbot::wire::aiwm::controller_from_fact;
use chainbot::wire::json::Json;
use chainbot::wire::webhook::{self, WebhookKind};
use chainbot::wire::{self, HttpReply};

const GOOD: [&str; 7] = [
    r#"{"token":"e30.eyJpYXQiOjEsImV4cCI6OX0.x","instruction":"Be \u00e9 kind","tools":[{"name":"a","x":[1,{"y":null}]}],"settings":{"discord":{"token":"t","channelIds":["1"]},"maxTurns":5}}"#,
    r#"{"accessToken":"t","expiresIn":86400,"instruction":{"systemPrompt":"<system>a</system>\n\n---\n\n<runtime>\nDatetime: x\n</runtime>","guidelines":["b"]},"settings":{"claude_model":"m"}}"#,
    r#"{"success":true,"work":{"id":"w","title":"Fix"},"systemTask":{"type":"work"}}"#,
    r#"{"agents":[{"name":"a","version":"1"},{"name":"b"}],"id":7}"#,
    r#"{"statusCode":400,"message":"Validation failed","errors":["status must be one of the following values: "],"detail":[{"msg":"x"}]}"#,
    r#"{"event_type":"workflow_failed","status":"failed","duration":1.5,"steps_completed":2,"workflow_blockers":["a"],"system_resources":{"cpu_usage":1e1},"requires_attention":true}"#,
    r#"{"generation":"b","instruction":"x","tools":["a"],"settings":{"claude.model":"m"},"name":"N"}"#,
];

/// Xorshift64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("as the tree has it")
    }
}

fn broken(good: &[u8], dice: &mut Dice) -> Vec<u8> {
    const BYTES: &[u8] = b"\"\\{}[]:,0-.e \x00\xffnu";
    let mut bytes = good.to_vec();
    for _ in 0..dice.roll(4) {
        let at = dice.roll(bytes.len());
        match dice.roll(4) {
            0 => bytes[at] = BYTES[dice.roll(BYTES.len())],
            1 => bytes.insert(at, BYTES[dice.roll(BYTES.len())]),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            _ => bytes.truncate(at.max(1)),
        }
    }
    bytes
}

fn calls() -> [Call; 5] {
    let token = Secret("t".to_owned());
    [
        Call::AiwmConnect,
        Call::AiwmHeartbeat { token: token.clone(), status: BeatStatus::Idle, metrics: None },
        Call::AiwmDisconnect { token, reason: "signal" },
        Call::AlexosRegister { at: Wall(0) },
        Call::AlexosCanon,
    ]
}

fn assert_bounded(outcome: &Outcome) {
    match outcome {
        Outcome::Aiwm(AiwmReply::Connected { answer, fact, .. }) => {
            assert!(
                answer.instruction.len() <= INSTRUCTION_BYTES_MAX && answer.settings.len() <= SETTINGS_MAX
            );
            assert!(answer.tools.as_ref().is_none_or(|tools| tools.len() <= TOOLS_MAX));
            let read = controller_from_fact(fact).expect("our own fact");
            assert_eq!(read.instruction, answer.instruction);
        }
        Outcome::Canon(_, entries) => assert!(entries.len() <= CANON_MAX),
        _ => {}
    }
}

#[test]
fn broken_answers_become_bounded_outcomes() {
    let mut dice = Dice(0x5eed_0001);
    let mut connected = 0;
    for round in 0..8_000 {
        let body = broken(GOOD[round % GOOD.len()].as_bytes(), &mut dice);
        let status = [200, 201, 400, 401, 404, 422, 500, 503][dice.roll(8)];
        for call in calls() {
            let reply = HttpReply {
                status,
                body: body.clone(),
                retry_after: Some("1".to_owned()),
                ..HttpReply::default()
            };
            let (outcome, _) = wire::decode(&call, Ok(reply));
            connected += u32::from(matches!(outcome, Outcome::Aiwm(AiwmReply::Connected { .. })));
            assert_bounded(&outcome);
        }
        let _ = controller_from_fact(&String::from_utf8_lossy(&body));
    }
    assert!(connected > 100, "the broken answers must not all be hopeless: {connected}");
}

#[test]
fn broken_webhooks_become_valid_events_or_faults() {
    let mut dice = Dice(0x5eed_0002);
    let mut taken = 0;
    for round in 0..8_000 {
        let body = broken(GOOD[round % GOOD.len()].as_bytes(), &mut dice);
        for kind in WebhookKind::ALL {
            if let Ok(draft) = webhook::decode(kind, &body) {
                taken += 1;
                assert!(webhook::is_event_type(&draft.kind), "{}", draft.kind);
                assert!(draft.message.len() <= EVENT_MESSAGE_BYTES_MAX && !draft.message.contains('\n'));
                assert!(Json::parse(draft.metadata.0.as_bytes()).is_ok(), "{}", draft.metadata.0);
            }
        }
    }
    assert!(taken > 1_000, "the broken bodies must not all be hopeless: {taken}");
}

#[test]
fn what_miniserde_reads_of_a_text_is_what_a_view_shows() {
    let mut dice = Dice(0x5eed_0003);
    for round in 0..8_000 {
        let body = broken(GOOD[round % GOOD.len()].as_bytes(), &mut dice);
        let Ok(view) = Json::parse(&body) else { continue };
        let text = std::str::from_utf8(&body).expect("as the tree has it");
        let tree: miniserde::json::Value = miniserde::json::from_str(text).expect("as the tree has it");
        assert_same(&tree, view);
        let compact: miniserde::json::Value =
            miniserde::json::from_str(&view.compact()).expect("as the tree has it");
        assert_eq!(miniserde::json::to_string(&compact), miniserde::json::to_string(&tree));
    }
}

fn assert_same(tree: &miniserde::json::Value, view: Json<'_>) {
    use miniserde::json::{Number, Value};
    match tree {
        Value::Null => assert_eq!(view.raw(), "null"),
        Value::Bool(value) => assert_eq!(view.bool(), Some(*value)),
        Value::Number(Number::U64(value)) => assert_eq!(view.u64(), Some(*value)),
        #[allow(clippy::cast_precision_loss)]
        Value::Number(Number::I64(value)) => assert_eq!(view.f64(), Some(*value as f64)),
        Value::Number(Number::F64(value)) => {
            let seen = view.f64().expect("as the tree has it");
            assert!((seen - value).abs() <= value.abs() * 1e-12, "{seen} {value}");
        }
        Value::String(value) => assert_eq!(view.text().expect("as the tree has it"), value.as_str()),
        Value::Array(values) => {
            assert_eq!(values.len(), view.items().count());
            values.iter().zip(view.items()).for_each(|(value, item)| assert_same(value, item));
        }
        Value::Object(values) => {
            for (name, value) in values {
                assert_same(value, view.get(name).expect("as the tree has it"));
            }
            assert!(view.fields().all(|(name, _)| values.contains_key(name.as_ref())));
        }
    }
}
