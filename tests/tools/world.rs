//! Hands over a folder and a ledger.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chainbot::agent::brain::setup::ToolsSetup;
use chainbot::agent::brain::speech::{RunId, ToolCall, ToolResult};
use chainbot::agent::event::{Event, JsonText, Severity, Source};
use chainbot::agent::ids::{EventId, LedgerId, Seq};
use chainbot::agent::memory::Write;
use chainbot::agent::time::Wall;
use chainbot::ledger::{Ledger, Limits};
use chainbot::shell::client::Client;
use chainbot::shell::dial::Dialer;
use chainbot::shell::tools::Hands;

use crate::stand_in::process::{Folder, exe};

pub const BUILT: &str = env!("CARGO_BIN_EXE_chainbot");
/// Far above what anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    pub folder: Folder,
    pub hands: Hands,
    pub setup: ToolsSetup,
    ledger: Arc<Ledger>,
    newest: u64,
    runs: u64,
}

impl World {
    pub fn new() -> Self {
        let folder = Folder::new("tools");
        let limits = Limits { size_max_bytes: 16 << 20, events_max: 10_000 };
        let (ledger, _) = Ledger::open_file(&folder.0.join("ledger.redb"), limits, 7).expect("ledger");
        let ledger = Arc::new(ledger);
        let client = Client::new(Rc::new(Dialer::new(None).expect("dialer")));
        let hands = Hands::new(vec![exe(BUILT).into_os_string()], Arc::clone(&ledger), client);
        std::fs::create_dir_all(folder.0.join("root/sub")).expect("root");
        let setup = ToolsSetup {
            root: folder.0.join("root").to_string_lossy().into_owned(),
            run_time_ms: 20_000,
            output_bytes_max: 4_000,
            memory_kib_max: 4 << 20,
            ..ToolsSetup::default()
        };
        Self { folder, hands, setup, ledger, newest: 0, runs: 0 }
    }

    /// A path below the root.
    pub fn path(&self, below: &str) -> PathBuf {
        self.folder.0.join("root").join(below)
    }

    pub fn start(&mut self, name: &str, arguments: &str) -> RunId {
        self.runs += 1;
        let call = ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            subject: String::new(),
        };
        let newest = EventId { seq: Seq(self.newest), ledger: LedgerId(7) };
        self.hands.start(RunId(self.runs), call, &self.setup, newest);
        RunId(self.runs)
    }

    pub fn next(&self) -> (RunId, ToolResult) {
        let late = async {
            chainbot::shell::reactor::Timer::after(PATIENCE).await;
            panic!("no run ended");
        };
        chainbot::shell::reactor::block_on(futures_lite::future::or(self.hands.next(), late))
    }

    pub fn run(&mut self, name: &str, arguments: &str) -> ToolResult {
        let run = self.start(name, arguments);
        let (ended, result) = self.next();
        assert_eq!(ended, run);
        result
    }

    /// Runs words as a command.
    pub fn command(&mut self, words: &[&str]) -> ToolResult {
        self.run("run-command", &arguments(words))
    }

    /// Drives the runs until something is so.
    pub fn until(&self, mut is_so: impl FnMut() -> bool) {
        let waits = async {
            while !is_so() {
                chainbot::shell::reactor::Timer::after(Duration::from_millis(5)).await;
            }
        };
        let ends = async {
            panic!("a run ended early: {:?}", self.hands.next().await);
        };
        let late = async {
            chainbot::shell::reactor::Timer::after(PATIENCE).await;
            panic!("it never was so");
        };
        chainbot::shell::reactor::block_on(futures_lite::future::or(
            waits,
            futures_lite::future::or(ends, late),
        ));
    }

    /// Writes events to the ledger, all of this kind.
    pub fn tell(&mut self, kind: &str, count: u64) {
        let event = |seq| Event {
            seq: Seq(seq),
            at: Wall(1_795_221_371_123),
            kind: kind.to_owned(),
            source: Source::Chainbot,
            severity: if seq % 2 == 0 { Severity::Error } else { Severity::Info },
            message: format!("number {seq}"),
            metadata: JsonText(format!(r#"{{"fill":"{}"}}"#, "x".repeat(400))),
        };
        let writes: Vec<_> =
            (self.newest + 1..=self.newest + count).map(|seq| Write::Event(event(seq))).collect();
        self.ledger.commit(&[writes]).expect("commit");
        self.newest += count;
    }
}

pub fn arguments(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("{word:?}").replace("\\'", "'")).collect();
    format!(r#"{{"command":[{}]}}"#, words.join(","))
}

/// Whether a process is there and no zombie.
pub fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .and_then(|rest| rest.trim_start().chars().next())
        .is_some_and(|state| state != 'Z')
}

/// The number in a file that a command writes; `None` until it is there.
pub fn number_in(path: &std::path::Path) -> Option<i32> {
    std::fs::read_to_string(path).ok()?.strip_suffix('\n')?.trim().parse().ok()
}

/// Waits until a process is gone, as init may take its time to reap it.
pub fn assert_gone(pid: i32, within: Duration) {
    let start = Instant::now();
    while is_alive(pid) {
        assert!(start.elapsed() < within, "process {pid} is still there");
        std::thread::yield_now();
    }
}
