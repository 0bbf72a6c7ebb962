//! An agent that is killed leaves nothing running. The agent is this test's own program, started again.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::stand_in::process::Folder;
use crate::world::{PATIENCE, World, arguments, assert_gone, is_alive, number_in};

const PLACE: &str = "CHAINBOT_TEST_PLACE";

/// The command, a child of it, one in a session of its own, and an orphan of that: each leaves its number.
const FAMILY: &str = "cd \"$0\"; echo $$ > 1\n\
    sh -c 'echo $$ > 2; exec sleep 3600' &\n\
    setsid sh -c 'echo $$ > 3; trap \"\" TERM HUP; sleep 3600; true' &\n\
    (setsid sh -c 'echo $$ > 4; exec sleep 3600' &)\n\
    trap '' TERM HUP; while true; do sleep 3600; done";

/// Not a test of its own: what `an_agent_that_is_killed...` starts.
#[test]
#[ignore = "runs until it is killed"]
fn an_agent_with_a_command() {
    let place = std::env::var(PLACE).unwrap();
    let mut world = World::new();
    world.setup.run_time_ms = 3_600_000;
    world.start("run-command", &arguments(&["sh", "-c", FAMILY, &place]));
    panic!("ended: {:?}", chainbot::shell::reactor::block_on(world.hands.next()));
}

#[test]
fn an_agent_that_is_killed_leaves_no_process_behind() {
    let folder = Folder::new("killed");
    let mut agent = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "killed::an_agent_with_a_command"])
        .env(PLACE, &folder.0)
        .env("TMPDIR", &folder.0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let files: Vec<PathBuf> = (1..=4).map(|number| folder.0.join(number.to_string())).collect();
    let start = Instant::now();
    let pids: Vec<i32> = loop {
        let found: Vec<i32> = files.iter().filter_map(|file| number_in(file)).collect();
        if found.len() == files.len() {
            break found;
        }
        assert!(start.elapsed() < PATIENCE, "only {} of the family are there", found.len());
        assert!(agent.try_wait().unwrap().is_none(), "the agent ended");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(pids.iter().all(|pid| is_alive(*pid)));
    agent.kill().unwrap();
    agent.wait().unwrap();
    for pid in &pids {
        assert_gone(*pid, Duration::from_secs(2));
    }
}
