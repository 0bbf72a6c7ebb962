//! The agent as a process of its own: started, asked to stop, killed, started again over the same folder.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::client;
use super::watched::Watched;

/// A folder that goes away with its owner.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("chainbot-{name}-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder for temporary files");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A port that nobody had a moment ago. The agent must have the same one after a restart, so 0 will not do.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}

/// The program under test: what cargo built, unless `CHAINBOT_TEST_PROGRAM` names another, as `cross/emulated` does.
pub fn exe(built: &str) -> PathBuf {
    std::env::var_os("CHAINBOT_TEST_PROGRAM").map_or_else(|| built.into(), PathBuf::from)
}

/// Where a program is and how it is told to run the agent.
#[derive(Clone, Debug)]
pub struct Program {
    pub path: PathBuf,
    /// Words before `--config FILE`.
    pub words: Vec<String>,
}

impl Program {
    /// The program with these words, blind to the configuration of whoever runs the tests.
    pub fn command(&self, config: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.words).arg("--config").arg(config).env_clear();
        for name in ["PATH", "HOME", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }
}

#[derive(Debug)]
pub struct Agent {
    pub program: Program,
    pub config: PathBuf,
    pub address: SocketAddr,
    child: Option<Child>,
    /// Every line of its log so far, over all its lives.
    pub log: Arc<Watched<Vec<String>>>,
}

impl Agent {
    /// Not started yet.
    pub fn new(program: Program, config: PathBuf, address: SocketAddr) -> Self {
        Self { program, config, address, child: None, log: Arc::default() }
    }

    /// Starts it and waits until it answers `/health`.
    pub fn start(&mut self) {
        self.spawn();
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if client::get(self.address, "/health").is_ok_and(|reply| reply.status == 200) {
                return;
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            assert!(ended.is_none(), "the agent ended while starting ({ended:?}):\n{}", self.log_text());
            assert!(Instant::now() < end, "the agent does not answer:\n{}", self.log_text());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn spawn(&mut self) {
        let mut command = self.program.command(&self.config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the agent's program starts");
        let stderr = child.stderr.take().expect("its log");
        let log = self.log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                log.change(|log| log.push(line));
            }
        });
        self.child = Some(child);
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// As the power would: no goodbye.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().expect("a running agent").to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s {name}");
    }

    /// Asks it to stop and waits for its end: how it ended, and how long that took.
    pub fn stop(&mut self) -> (ExitStatus, Duration) {
        let begin = Instant::now();
        self.signal("TERM");
        self.ended_within(Duration::from_secs(10)).map_or_else(
            || panic!("the agent does not stop:\n{}", self.log_text()),
            |status| (status, begin.elapsed()),
        )
    }

    /// How it ended, if it did within `bound`.
    pub fn ended_within(&mut self, bound: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + bound;
        while Instant::now() < end {
            if let Some(status) = self.child.as_mut()?.try_wait().expect("a child of ours") {
                self.child = None;
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        None
    }

    pub fn log_text(&self) -> String {
        self.log.look(|log| log.join("\n"))
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the agent's log ---\n{}\n---", self.log_text());
        }
    }
}
