//! Conversations: kept, read from the end, forgotten, salvaged.

use chainbot::agent::brain::speech::{CallState, Message, Role, SessionRecord, ToolCall, TurnRecord};
use chainbot::agent::memory::Write;
use chainbot::agent::time::Wall;
use chainbot::ledger::{Ledger, Limits, SIZE_MIN_BYTES, salvage_file, verify_file};

use super::disk::SimDisk;
use super::support::{LIMITS, Random, events, open};

/// A message that follows from its number and size alone.
pub fn message(number: u32, bytes: usize) -> Message {
    let mut random = Random(u64::from(number));
    let text: String = (0..bytes).map(|_| (b'a' + (random.next() % 26) as u8) as char).collect();
    let call = ToolCall {
        id: format!("c{number}"),
        name: "t".to_owned(),
        arguments: "{}".to_owned(),
        subject: String::new(),
    };
    Message {
        role: Role::ALL[number as usize % 4],
        text,
        at: Wall(1_700_000_000_000 + i64::from(number)),
        calls: vec![call],
        call_id: String::new(),
        is_partial: number.is_multiple_of(2),
    }
}

/// The write of it.
pub fn say(session: &str, number: u32, bytes: usize) -> Write {
    let message = Box::new(message(number, bytes));
    Write::Message { session: session.to_owned(), number, message }
}

fn record(first: u32, next: u32, turn: Option<TurnRecord>) -> SessionRecord {
    SessionRecord { first, next, at: Wall(1_700_000_000_000 + i64::from(next)), bytes: 7, turn }
}

fn keep(session: &str, record: SessionRecord) -> Write {
    Write::Session { session: session.to_owned(), record: Box::new(record) }
}

fn numbers(ledger: &Ledger, session: &str) -> Vec<u32> {
    let found = ledger.messages(session, 0, u32::MAX, usize::MAX).expect("reads");
    for (number, found) in &found {
        assert_eq!(*found, message(*number, found.text.len()), "message {number} of {session}");
    }
    found.into_iter().map(|(number, _)| number).collect()
}

#[test]
fn a_conversation_is_there_after_opening_again() {
    let disk = SimDisk::new();
    let turn = TurnRecord {
        calling: 2,
        call: CallState::Started,
        instruction: "x".repeat(30_000),
        ..TurnRecord::default()
    };
    {
        let (ledger, memory) = open(&disk, LIMITS);
        assert!(memory.sessions.is_empty());
        assert_eq!(numbers(&ledger, "a"), []);
        let writes = vec![say("a", 1, 10), say("a", 2, 32_768), keep("a", record(1, 3, Some(turn.clone())))];
        ledger.commit(&[writes]).expect("commits");
    }
    let (ledger, memory) = open(&disk, LIMITS);
    let [session] = memory.sessions.as_slice() else { panic!("one conversation") };
    assert_eq!((session.name.as_str(), &session.record), ("a", &record(1, 3, Some(turn))));
    assert_eq!(session.calling, Some(message(2, 32_768)));
    assert_eq!(numbers(&ledger, "a"), [1, 2]);
    let stats = ledger.stats().expect("reads");
    assert_eq!((stats.sessions, stats.messages, stats.corrupt_records), (1, 2, 0));
}

#[test]
fn the_newest_messages_that_fit_are_read_and_the_oldest_of_them_comes_first() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk, LIMITS);
    ledger.commit(&[(1..=20).map(|number| say("a", number, 1_000)).collect::<Vec<_>>()]).expect("commits");
    let size = message(7, 1_000).bytes();
    let read = |from, upto, bytes| -> Vec<u32> {
        let found = ledger.messages("a", from, upto, bytes).expect("reads");
        found.into_iter().map(|(number, _)| number).collect()
    };
    assert_eq!(read(1, 20, 3 * size + 10), [18, 19, 20]);
    assert_eq!(read(5, 8, usize::MAX), [5, 6, 7, 8]);
    assert_eq!(read(7, 7, 0), [7], "the newest comes whatever its size");
    assert_eq!(read(9, 8, 100), []);
    assert_eq!(ledger.messages("a/00000001", 0, 9, 9).expect("reads"), []);
}

#[test]
fn what_is_forgotten_is_gone_and_nothing_else() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk, LIMITS);
    for name in ["a", "a-b", "a.c", "a0", "ab", "b"] {
        let writes =
            vec![say(name, 1, 4_000), say(name, 2, 10), say(name, 3, 10), keep(name, record(1, 4, None))];
        ledger.commit(&[writes]).expect("commits");
    }
    ledger.commit(&[vec![Write::MessagesGone { session: "a".to_owned(), below: 3 }]]).expect("commits");
    assert_eq!(numbers(&ledger, "a"), [3]);
    ledger.commit(&[vec![Write::SessionGone("a".to_owned())]]).expect("commits");
    assert_eq!(numbers(&ledger, "a"), []);
    for name in ["a-b", "a.c", "a0", "ab", "b"] {
        assert_eq!(numbers(&ledger, name), [1, 2, 3], "{name}");
    }
    drop(ledger);
    let (ledger, memory) = open(&disk, LIMITS);
    let names: Vec<&str> = memory.sessions.iter().map(|session| session.name.as_str()).collect();
    assert_eq!(names, ["a-b", "a.c", "a0", "ab", "b"]);
    ledger.commit(&[vec![say("b", 1, 10)]]).expect("commits");
    assert_eq!(numbers(&ledger, "b"), [1, 2, 3], "a shorter text leaves no pieces of the longer behind");
    assert_eq!(ledger.stats().expect("reads").corrupt_records, 0);
}

#[test]
fn a_small_ledger_with_too_many_messages_takes_what_comes() {
    let disk = SimDisk::new();
    let (ledger, _) = open(&disk, Limits { size_max_bytes: SIZE_MIN_BYTES, events_max: 1_000 });
    for number in 1..=400 {
        let mut writes = vec![say("a", number, 16_000)];
        writes.extend(events([u64::from(number)], 100));
        ledger.commit(&[writes]).expect("there is always room");
    }
    let kept = numbers(&ledger, "a");
    assert!(kept.contains(&400) && kept.len() > 40, "{} kept", kept.len());
    assert!(ledger.stats().expect("reads").file_bytes <= SIZE_MIN_BYTES);
}

#[test]
fn a_salvage_carries_conversations_over_and_lets_no_call_be_made_again() {
    let folder = std::env::temp_dir().join(format!("chainbot-talks-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (from, to) = (folder.join("from"), folder.join("to"));
    {
        let (ledger, _) = Ledger::open_file(&from, LIMITS, 7).expect("opens");
        let asked = TurnRecord { calling: 2, ..TurnRecord::default() };
        let writes = vec![say("a", 1, 5_000), say("a", 2, 10), keep("a", record(1, 3, Some(asked)))];
        ledger.commit(&[writes]).expect("commits");
        ledger.commit(&[vec![say("old", 1, 10), keep("old", record(1, 2, None))]]).expect("commits");
        let gone = Write::MessagesGone { session: "old".to_owned(), below: 2 };
        ledger.commit(&[vec![gone, say("old", 2, 20), keep("old", record(2, 3, None))]]).expect("commits");
    }
    assert!(verify_file(&from).expect("readable").is_sound());
    salvage_file(&from, &to, 9).expect("salvages");
    let (ledger, memory) = Ledger::open_file(&to, LIMITS, 7).expect("opens");
    assert_eq!(numbers(&ledger, "a"), [1, 2]);
    assert_eq!(numbers(&ledger, "old"), [2], "what was forgotten stays so");
    let turn = memory.sessions[0].record.turn.as_ref().expect("under way");
    assert_eq!(turn.call, CallState::Started, "nobody knows whether it was begun");
    drop(ledger);
    std::fs::remove_dir_all(&folder).expect("removed");
}
