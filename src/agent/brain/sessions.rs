//! The conversations: what is kept of each and how much of it. Their messages are in the ledger.
//!
//! Bounds: `SESSIONS_MAX`, `SESSION_MESSAGES_MAX`, `SESSION_BYTES_MAX` and `CONVERSATIONS_BYTES_MAX`. At each the oldest goes, of
//! the conversation that was silent longest; one with a turn under way is never forgotten, nor what its turn needs.

use std::collections::VecDeque;

use super::speech::{CallState, Caller, Message, SessionRecord};
use super::turns::{Step, Turn};
use crate::agent::limits::{
    CONVERSATIONS_BYTES_MAX, SESSION_BYTES_MAX, SESSION_MESSAGES_MAX, SESSIONS_MAX, TOOL_CALLS_MAX,
};
use crate::agent::memory::{SessionMemory, Write};
use crate::agent::time::{Mono, Wall};

/// Messages of a turn under way that are not forgotten for want of room elsewhere: the last question with all its calls.
const NEEDED_MESSAGES: usize = TOOL_CALLS_MAX + 2;
/// Bytes kept free for the result of each call that is still to be made.
const RESULT_BYTES_MIN: u32 = 512;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Its name.
    pub name: String,
    /// What the ledger keeps of it.
    pub record: SessionRecord,
    /// Bytes of each message, from `record.first` on.
    sizes: VecDeque<u32>,
    /// The turn under way.
    pub turn: Option<Box<Turn>>,
}

/// The conversations. See the module.
#[derive(Debug, Default)]
pub struct Sessions {
    /// In no order; at most `SESSIONS_MAX`.
    pub list: Vec<Conversation>,
}

impl Sessions {
    /// What the ledger held. Turns that were under way are taken up; `ask_again_until` is when a person's time is over.
    #[must_use]
    pub fn recall(memory: Vec<SessionMemory>, now: Mono, ask_again_until: Mono) -> Self {
        let list = memory.into_iter().take(SESSIONS_MAX);
        Self { list: list.map(|session| recalled(session, now, ask_again_until)).collect() }
    }

    /// The place of a conversation.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|session| session.name == name)
    }

    /// The place of a conversation, which is made if it is not there. Writes what that costs another. `None`: all that there
    /// may be have turns under way.
    pub fn open(&mut self, name: &str, at: Wall, writes: &mut Vec<Write>) -> Option<usize> {
        if let Some(place) = self.find(name) {
            return Some(place);
        }
        if self.list.len() >= SESSIONS_MAX {
            let place = self.silent_longest(|_, session| session.turn.is_none())?;
            writes.push(Write::SessionGone(self.list.swap_remove(place).name));
        }
        let record = SessionRecord { first: 1, next: 1, at, ..SessionRecord::default() };
        self.list.push(Conversation { name: name.to_owned(), record, sizes: VecDeque::new(), turn: None });
        Some(self.list.len() - 1)
    }

    /// The conversation that was silent longest, of those that may go.
    fn silent_longest(&self, may_go: impl Fn(usize, &Conversation) -> bool) -> Option<usize> {
        let those = self.list.iter().enumerate().filter(|(place, session)| may_go(*place, session));
        those.min_by_key(|(_, session)| session.record.at).map(|(place, _)| place)
    }

    /// Forgets what there is no room for, but nothing that the turn of the conversation at `speaking` needs.
    pub fn make_room(&mut self, speaking: usize, writes: &mut Vec<Write>) {
        if let Some(session) = self.list.get_mut(speaking) {
            session.forget_surplus(writes);
        }
        while self.bytes() > u64::from(CONVERSATIONS_BYTES_MAX) {
            let surplus = self.bytes() - u64::from(CONVERSATIONS_BYTES_MAX);
            let surplus = u32::try_from(surplus).unwrap_or(u32::MAX);
            let is_silent = |place: usize, session: &Conversation| {
                session.turn.is_none() && session.record.bytes > 0 && place != speaking
            };
            let silent = self.silent_longest(is_silent);
            let Some(place) = silent.or_else(|| self.silent_longest(|_, session| session.can_forget()))
            else {
                return;
            };
            self.list[place].forget_bytes(surplus, writes);
        }
    }

    fn bytes(&self) -> u64 {
        self.list.iter().map(|session| u64::from(session.record.bytes)).sum()
    }

    /// Turns at work, those that wait for a provider not counted.
    #[must_use]
    pub fn active(&self) -> usize {
        self.list.iter().filter(|session| session.turn.as_ref().is_some_and(|turn| turn.is_active())).count()
    }
}

impl Conversation {
    /// Puts a message at the end; its number.
    pub fn push(&mut self, message: Message, writes: &mut Vec<Write>) -> u32 {
        let number = self.record.next;
        let bytes = u32::try_from(message.bytes()).unwrap_or(u32::MAX);
        self.record.next = number.saturating_add(1);
        self.record.bytes = self.record.bytes.saturating_add(bytes);
        self.sizes.push_back(bytes);
        writes.push(Write::Message { session: self.name.clone(), number, message: Box::new(message) });
        number
    }

    /// The write of what is kept of it.
    #[must_use]
    pub fn write(&self) -> Write {
        Write::Session { session: self.name.clone(), record: Box::new(self.record.clone()) }
    }

    /// Most bytes that the result of the call at hand may have, so that those that follow have room too.
    #[must_use]
    pub fn result_bytes_max(&self) -> usize {
        let Some(turn) = self.record.turn.as_ref().filter(|turn| turn.calling > 0) else { return 0 };
        let used: u32 = self.sizes.iter().rev().take(self.needed()).sum();
        let calls = self.turn.as_ref().map_or(0, |turn| turn.calls.len());
        let following = u32::try_from(calls).unwrap_or(0).saturating_sub(turn.next_call + 1);
        SESSION_BYTES_MAX.saturating_sub(used).saturating_sub(following * RESULT_BYTES_MIN) as usize
    }

    /// About how many tokens its messages from this number on are.
    #[must_use]
    pub fn tokens_from(&self, from: u32) -> u32 {
        let skipped = from.saturating_sub(self.record.first) as usize;
        self.sizes.iter().skip(skipped).sum::<u32>() / 4
    }

    /// How many of the last messages the turn under way needs.
    fn needed(&self) -> usize {
        match &self.record.turn {
            None => usize::from(self.turn.is_some()),
            Some(turn) if turn.calling > 0 => self.record.next.saturating_sub(turn.calling) as usize,
            Some(_) => NEEDED_MESSAGES.min(self.sizes.len()),
        }
    }

    fn can_forget(&self) -> bool {
        self.sizes.len() > self.needed()
    }

    /// Forgets the oldest messages beyond what one conversation may have.
    fn forget_surplus(&mut self, writes: &mut Vec<Write>) {
        let first = self.record.first;
        // Of a turn without calls only the last message is needed here: the bounds of one conversation are hard.
        let calling = self.record.turn.as_ref().map_or(0, |turn| turn.calling);
        let needed = if calling > 0 { self.needed() } else { 1 };
        while self.sizes.len() > needed
            && (self.sizes.len() > SESSION_MESSAGES_MAX as usize || self.record.bytes > SESSION_BYTES_MAX)
        {
            self.forget_one();
        }
        self.write_forgotten(first, writes);
    }

    fn forget_bytes(&mut self, bytes: u32, writes: &mut Vec<Write>) {
        let (first, needed) = (self.record.first, self.needed());
        let goal = self.record.bytes.saturating_sub(bytes);
        while self.sizes.len() > needed && self.record.bytes > goal {
            self.forget_one();
        }
        self.write_forgotten(first, writes);
    }

    fn forget_one(&mut self) {
        self.record.first += 1;
        self.record.bytes = self.record.bytes.saturating_sub(self.sizes.pop_front().unwrap_or(0));
        if self.sizes.is_empty() {
            self.record.bytes = 0;
        }
    }

    fn write_forgotten(&self, first_before: u32, writes: &mut Vec<Write>) {
        if self.record.first > first_before {
            let (session, below) = (self.name.clone(), self.record.first);
            writes.push(Write::MessagesGone { session, below });
            writes.push(self.write());
        }
    }
}

/// A conversation as the ledger held it; its turn goes on where nothing is done twice.
fn recalled(memory: SessionMemory, now: Mono, ask_again_until: Mono) -> Conversation {
    let SessionMemory { name, record, calling, sizes } = memory;
    let mut session = Conversation { name, record, sizes: sizes.into(), turn: None };
    session.record.bytes = session.sizes.iter().sum();
    session.sizes.resize(session.record.next.saturating_sub(session.record.first) as usize, 0);
    let Some(kept) = &mut session.record.turn else { return session };
    let calls = calling.map(|message| message.calls).unwrap_or_default();
    if calls.len() <= kept.next_call as usize {
        // Nothing is left to be called, or the message that called is unreadable.
        (kept.calling, kept.next_call, kept.call) = (0, 0, CallState::New);
    }
    let step = match kept.call {
        _ if kept.calling == 0 => Step::Ready { until: None },
        CallState::Asked(approval) => Step::Approving { approval, deadline: ask_again_until },
        CallState::New | CallState::Started => Step::Calling,
    };
    let mut turn = Turn::new(now, Caller::Agent, step);
    turn.calls = calls;
    session.turn = Some(Box::new(turn));
    session
}

#[cfg(test)]
mod tests {
    use super::super::speech::{Role, TurnRecord};
    use super::*;

    fn message(bytes: usize) -> Message {
        Message {
            role: Role::User,
            text: "x".repeat(bytes),
            at: Wall(0),
            calls: Vec::new(),
            call_id: String::new(),
            is_partial: false,
        }
    }

    fn filled(names: u32, messages: u32, bytes: usize) -> Sessions {
        let mut sessions = Sessions::default();
        for name in 0..names {
            let place = sessions.open(&name.to_string(), Wall(i64::from(name)), &mut Vec::new()).unwrap();
            for _ in 0..messages {
                sessions.list[place].push(message(bytes), &mut Vec::new());
            }
        }
        sessions
    }

    fn begin_turn(session: &mut Conversation) {
        session.turn = Some(Box::new(Turn::new(Mono(0), Caller::Agent, Step::Asking)));
        session.record.turn = Some(TurnRecord::default());
    }

    #[test]
    fn the_conversation_that_was_silent_longest_goes_and_never_one_with_a_turn() {
        let mut sessions = filled(SESSIONS_MAX as u32, 1, 10);
        begin_turn(&mut sessions.list[0]);
        let mut writes = Vec::new();
        sessions.open("new", Wall(99), &mut writes).unwrap();
        assert_eq!(writes, [Write::SessionGone("1".to_owned())]);
        sessions.list.iter_mut().for_each(begin_turn);
        assert_eq!(sessions.open("one more", Wall(100), &mut writes), None);
        assert_eq!(sessions.list.len(), SESSIONS_MAX);
    }

    #[test]
    fn a_conversation_that_grows_forgets_its_oldest_messages() {
        let mut sessions = filled(1, SESSION_MESSAGES_MAX, 10);
        let mut writes = Vec::new();
        sessions.make_room(0, &mut writes);
        assert_eq!(writes, [], "it is just full");
        sessions.list[0].push(message(10), &mut Vec::new());
        sessions.make_room(0, &mut writes);
        assert_eq!(writes[0], Write::MessagesGone { session: "0".to_owned(), below: 2 });
        assert_eq!(sessions.list[0].record.bytes, SESSION_MESSAGES_MAX * 10);
        sessions.list[0].push(message(SESSION_BYTES_MAX as usize - 15), &mut Vec::new());
        sessions.make_room(0, &mut writes);
        assert!(sessions.list[0].record.bytes <= SESSION_BYTES_MAX);
        assert_eq!(sessions.list[0].sizes.len(), 2);
    }

    #[test]
    fn what_a_turn_needs_stays_and_its_results_have_room() {
        let mut sessions = filled(1, 3, 1_000);
        let session = &mut sessions.list[0];
        begin_turn(session);
        let calling = session.push(message(60_000), &mut Vec::new());
        let call = crate::agent::brain::speech::ToolCall {
            id: String::new(),
            name: String::new(),
            arguments: String::new(),
            subject: String::new(),
        };
        session.turn.as_mut().unwrap().calls = vec![call; 5];
        for next_call in 0..5 {
            let turn = TurnRecord { calling, next_call, ..TurnRecord::default() };
            sessions.list[0].record.turn = Some(turn);
            let room = sessions.list[0].result_bytes_max();
            assert!(room >= RESULT_BYTES_MIN as usize, "there is room for result {next_call}");
            sessions.list[0].push(message(room.min(40_000)), &mut Vec::new());
            sessions.make_room(0, &mut Vec::new());
            assert!(sessions.list[0].record.bytes <= SESSION_BYTES_MAX);
            assert!(sessions.list[0].record.first <= calling);
        }
    }

    #[test]
    fn all_conversations_together_stay_within_their_bound() {
        let mut sessions = filled(20, 12, 10_000);
        let mut writes = Vec::new();
        sessions.make_room(3, &mut writes);
        assert!(sessions.bytes() <= u64::from(CONVERSATIONS_BYTES_MAX));
        assert_eq!(sessions.list[3].sizes.len(), 12, "not of the one that speaks");
        assert_eq!(sessions.list[0].sizes.len(), 0, "the longest silent first");
        assert_eq!(sessions.list[19].sizes.len(), 12);
    }

    #[test]
    fn a_turn_of_which_the_calls_are_lost_asks_again() {
        let turn = TurnRecord { calling: 2, call: CallState::Started, ..TurnRecord::default() };
        let record = SessionRecord { first: 1, next: 3, turn: Some(turn), ..SessionRecord::default() };
        let memory = SessionMemory { name: "a".to_owned(), record, calling: None, sizes: vec![4, 0] };
        let sessions = Sessions::recall(vec![memory], Mono(5), Mono(9));
        let session = &sessions.list[0];
        assert_eq!(session.turn.as_ref().unwrap().step, Step::Ready { until: None });
        assert_eq!(session.record.turn.as_ref().unwrap().calling, 0);
        assert_eq!(session.record.bytes, 4);
    }
}
