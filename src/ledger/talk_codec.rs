//! Conversations as bytes. Little endian; every record begins with its time (i64), so that a salvage knows the later of two.
//!
//! A message: time, role u8, partial u8, number of calls u8, then text, id of the call it answers, and each call's id, name,
//! arguments and subject, every text with its length (u32) before it. What is kept of a conversation: time, first u32, next u32,
//! bytes u32, 0 or 1 for a turn; a turn: questions, tokens, calling, next call (u32 each), how far the call is (0 new, 1 asked and
//! the event's place u64 and ledger u32, 2 started), then model, provider and instruction.

use super::codec::DecodeFault;
use crate::agent::brain::speech::{CallState, Message, Role, SessionRecord, ToolCall, TurnRecord};
use crate::agent::ids::{EventId, LedgerId, Seq};
use crate::agent::time::Wall;

const ASKED: u8 = 1;
const STARTED: u8 = 2;

/// The bytes of a message.
#[must_use]
pub fn encode_message(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 + message.bytes());
    bytes.extend_from_slice(&message.at.0.to_le_bytes());
    bytes.push(message.role as u8);
    bytes.push(u8::from(message.is_partial));
    let calls = &message.calls[..message.calls.len().min(usize::from(u8::MAX))];
    bytes.push(calls.len() as u8);
    push_text(&mut bytes, &message.text);
    push_text(&mut bytes, &message.call_id);
    for call in calls {
        for text in [&call.id, &call.name, &call.arguments, &call.subject] {
            push_text(&mut bytes, text);
        }
    }
    bytes
}

/// The message that was stored as these bytes.
///
/// # Errors
/// For any bytes that `encode_message` does not write.
pub fn decode_message(bytes: &[u8]) -> Result<Message, DecodeFault> {
    let mut reader = Reader(bytes);
    let at = reader.wall()?;
    let [role, is_partial, calls] = reader.take()?;
    let role = *Role::ALL.get(usize::from(role)).ok_or(DecodeFault::Unknown)?;
    let is_partial = flag(is_partial)?;
    let (text, call_id) = (reader.text()?, reader.text()?);
    let call = |reader: &mut Reader<'_>| -> Result<ToolCall, DecodeFault> {
        let (id, name) = (reader.text()?, reader.text()?);
        Ok(ToolCall { id, name, arguments: reader.text()?, subject: reader.text()? })
    };
    let calls = (0..calls).map(|_| call(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    reader.end()?;
    Ok(Message { role, text, at, calls, call_id, is_partial })
}

/// The bytes of what is kept of a conversation.
#[must_use]
pub fn encode_record(record: &SessionRecord) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64 + record.bytes_held());
    bytes.extend_from_slice(&record.at.0.to_le_bytes());
    push_numbers(&mut bytes, &[record.first, record.next, record.bytes]);
    bytes.push(u8::from(record.turn.is_some()));
    if let Some(turn) = &record.turn {
        push_numbers(&mut bytes, &[turn.questions, turn.tokens, turn.calling, turn.next_call]);
        match turn.call {
            CallState::New => bytes.push(0),
            CallState::Asked(EventId { seq, ledger }) => {
                bytes.push(ASKED);
                bytes.extend_from_slice(&seq.0.to_le_bytes());
                push_numbers(&mut bytes, &[ledger.0]);
            }
            CallState::Started => bytes.push(STARTED),
        }
        for text in [&turn.model, &turn.provider, &turn.instruction] {
            push_text(&mut bytes, text);
        }
    }
    bytes
}

/// What was stored as these bytes.
///
/// # Errors
/// For any bytes that `encode_record` does not write.
pub fn decode_record(bytes: &[u8]) -> Result<SessionRecord, DecodeFault> {
    let mut reader = Reader(bytes);
    let at = reader.wall()?;
    let (first, next, bytes) = (reader.number()?, reader.number()?, reader.number()?);
    let [has_turn] = reader.take()?;
    let turn = if flag(has_turn)? { Some(reader.turn()?) } else { None };
    reader.end()?;
    Ok(SessionRecord { first, next, at, bytes, turn })
}

/// The time that a record begins with; `i64::MIN` if it is too short for one.
pub(super) fn time_of(bytes: &[u8]) -> i64 {
    bytes.first_chunk().map_or(i64::MIN, |at| i64::from_le_bytes(*at))
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    push_numbers(bytes, &[text.len() as u32]);
    bytes.extend_from_slice(text.as_bytes());
}

fn push_numbers(bytes: &mut Vec<u8>, numbers: &[u32]) {
    for number in numbers {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
}

fn flag(byte: u8) -> Result<bool, DecodeFault> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeFault::Unknown),
    }
}

/// What is not read yet.
struct Reader<'b>(&'b [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeFault> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(DecodeFault::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn number(&mut self) -> Result<u32, DecodeFault> {
        self.take().map(u32::from_le_bytes)
    }

    fn wall(&mut self) -> Result<Wall, DecodeFault> {
        self.take().map(i64::from_le_bytes).map(Wall)
    }

    fn text(&mut self) -> Result<String, DecodeFault> {
        let len = self.number()? as usize;
        let (text, rest) = self.0.split_at_checked(len).ok_or(DecodeFault::Short)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).map_err(|_| DecodeFault::Text)
    }

    fn turn(&mut self) -> Result<TurnRecord, DecodeFault> {
        let (questions, tokens) = (self.number()?, self.number()?);
        let (calling, next_call) = (self.number()?, self.number()?);
        let call = match self.take()? {
            [0] => CallState::New,
            [ASKED] => {
                let seq = Seq(u64::from_le_bytes(self.take()?));
                CallState::Asked(EventId { seq, ledger: LedgerId(self.number()?) })
            }
            [STARTED] => CallState::Started,
            _ => return Err(DecodeFault::Unknown),
        };
        let (model, provider, instruction) = (self.text()?, self.text()?, self.text()?);
        Ok(TurnRecord { model, provider, instruction, questions, tokens, calling, next_call, call })
    }

    fn end(&self) -> Result<(), DecodeFault> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeFault::Long) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let call = ToolCall {
            id: "c1".to_owned(),
            name: "read-file".to_owned(),
            arguments: "{\"path\":\"ä\"}".to_owned(),
            subject: "ä".to_owned(),
        };
        Message {
            role: Role::Assistant,
            text: "grüße".to_owned(),
            at: Wall(-7),
            calls: vec![call.clone(), ToolCall { id: "c2".to_owned(), ..call }],
            call_id: "c0".to_owned(),
            is_partial: true,
        }
    }

    fn record(call: CallState) -> SessionRecord {
        let turn = TurnRecord {
            model: "m".to_owned(),
            provider: "p".to_owned(),
            instruction: "be kind".to_owned(),
            questions: 3,
            tokens: 4,
            calling: 5,
            next_call: 6,
            call,
        };
        SessionRecord { first: 1, next: 9, at: Wall(2), bytes: 77, turn: Some(turn) }
    }

    #[test]
    fn messages_and_records_read_back() {
        for role in Role::ALL {
            let message = Message { role, ..message() };
            assert_eq!(decode_message(&encode_message(&message)), Ok(message));
        }
        let asked = CallState::Asked(EventId { seq: Seq(8), ledger: LedgerId(9) });
        for call in [CallState::New, asked, CallState::Started] {
            assert_eq!(decode_record(&encode_record(&record(call))), Ok(record(call)));
        }
        let silent = SessionRecord { turn: None, ..record(CallState::New) };
        assert_eq!(decode_record(&encode_record(&silent)), Ok(silent));
        assert!(Role::ALL.iter().enumerate().all(|(place, role)| *role as usize == place));
    }

    #[test]
    fn every_cut_is_short_and_every_change_is_refused_or_read_without_panic() {
        let (one, other) = (encode_message(&message()), encode_record(&record(CallState::Started)));
        for cut in 0..one.len() {
            assert_eq!(decode_message(&one[..cut]), Err(DecodeFault::Short), "cut at {cut}");
        }
        for cut in 0..other.len() {
            assert_eq!(decode_record(&other[..cut]), Err(DecodeFault::Short), "cut at {cut}");
        }
        assert_eq!(decode_message(&[&one[..], b"x"].concat()), Err(DecodeFault::Long));
        for place in 0..one.len() {
            for value in [0, 1, 0x80, 0xff] {
                let mut bad = one.clone();
                bad[place] = value;
                if let Ok(read) = decode_message(&bad) {
                    assert_eq!(encode_message(&read), bad, "only what encode writes may be read");
                }
            }
        }
    }
}
