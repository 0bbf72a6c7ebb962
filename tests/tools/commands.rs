use std::time::{Duration, Instant};

use chainbot::agent::limits::TOOL_RUNS_MAX;

use crate::world::{World, arguments, assert_gone, number_in};

/// A process that would live for an hour, in a session of its own, with its number in the file `pid`.
const ESCAPED: &str =
    "setsid sh -c 'echo $$ > pid; exec sleep 3600' &\nwhile ! test -s pid; do sleep 0.01; done";

#[test]
fn words_reach_the_program_as_they_are() {
    let mut world = World::new();
    let result =
        world.command(&["printf", "<%s>", "a; echo b", "$(id)", "`id`", "x | y > z", "*", "--", "it's", ""]);
    assert_eq!(result.text, "<a; echo b><$(id)><`id`><x | y > z><*><--><it's><>\n[exit code 0]");
    assert_eq!((result.is_ok, result.exit_code), (true, Some(0)));
    assert_eq!(std::fs::read_dir(world.path(".")).unwrap().count(), 1, "nothing was made");
}

#[test]
fn a_text_goes_to_a_shell_only_if_the_config_says_so() {
    let mut world = World::new();
    let refused = world.run("run-command", r#"{"command":"echo a; echo b"}"#);
    assert!(!refused.is_ok && refused.text.contains("there is no shell"), "{}", refused.text);
    world.setup.shell = true;
    assert_eq!(world.run("run-command", r#"{"command":"echo a; echo b"}"#).text, "a\nb\n[exit code 0]");
}

#[test]
fn a_command_starts_with_nothing_of_the_agents() {
    let mut world = World::new();
    let root = world.setup.root.clone();
    let result = world.command(&["env"]);
    let mut lines: Vec<&str> = result.text.lines().collect();
    lines.sort_unstable();
    let path = format!("PATH={}", std::env::var("PATH").unwrap());
    assert_eq!(lines, [&format!("HOME={root}"), "LANG=C.UTF-8", &path, "[exit code 0]"]);
    assert_eq!(world.command(&["cat"]).text, "[exit code 0]", "its input is empty");
    assert_eq!(world.command(&["pwd"]).text, format!("{root}\n[exit code 0]"));
    let below = world.run("run-command", r#"{"command":["pwd"],"cwd":"sub"}"#);
    assert_eq!(below.text, format!("{root}/sub\n[exit code 0]"));
    // What whoever runs the tests left open is not the agent's.
    let plain = std::process::Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let open = format!("{}[exit code 0]", String::from_utf8_lossy(&plain.stdout));
    assert_eq!(world.command(&["ls", "/proc/self/fd"]).text, open);
}

#[test]
fn a_command_does_not_start_outside_of_the_root() {
    let mut world = World::new();
    std::os::unix::fs::symlink("/", world.path("link")).unwrap();
    let result = world.run("run-command", r#"{"command":["pwd"],"cwd":"link"}"#);
    assert!(!result.is_ok && result.text.contains("symbolic link"), "{}", result.text);
    let result = world.run("run-command", r#"{"command":["pwd"],"cwd":"../.."}"#);
    assert!(!result.is_ok && result.text.contains(".."), "{}", result.text);
}

#[test]
fn how_a_command_ended_is_told() {
    let mut world = World::new();
    let result = world.command(&["sh", "-c", "echo out; echo err >&2; echo more; exit 3"]);
    assert_eq!(result.text, "out\nerr\nmore\n[exit code 3]");
    assert_eq!((result.is_ok, result.exit_code), (false, Some(3)));
    let result = world.command(&["sh", "-c", "kill -9 $$"]);
    assert_eq!((result.is_ok, result.exit_code, result.text.as_str()), (false, None, "[ended by signal 9]"));
    let result = world.command(&["no-such-program-here"]);
    assert_eq!(result.exit_code, Some(127));
    assert!(result.text.contains("cannot be started: there is no such file"), "{}", result.text);
}

#[test]
fn limits_hold_from_the_first_instruction() {
    let mut world = World::new();
    (world.setup.memory_kib_max, world.setup.run_time_ms) = (99_000, 7_500);
    let result =
        world.command(&["sh", "-c", "ulimit -v; ulimit -t; ulimit -c; cat /proc/self/oom_score_adj"]);
    assert_eq!(result.text, "99000\n8\n0\n1000\n[exit code 0]");
}

#[test]
fn a_command_that_takes_too_long_is_killed_with_all_that_it_started() {
    let mut world = World::new();
    world.setup.run_time_ms = 1_500;
    let start = Instant::now();
    let result = world.command(&["sh", "-c", &format!("echo begun; {ESCAPED}\nsleep 3600")]);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(result.text, "begun\n[killed: it took longer than 1500 ms]");
    assert_gone(number_in(&world.path("pid")).unwrap(), Duration::from_secs(2));
}

#[test]
fn a_run_that_is_stopped_ends_with_all_that_it_started() {
    let mut world = World::new();
    let run = world.start("run-command", &arguments(&["sh", "-c", &format!("{ESCAPED}\nsleep 3600")]));
    let pid = world.path("pid");
    world.until(|| number_in(&pid).is_some());
    world.hands.stop(run);
    let (ended, result) = world.next();
    assert_eq!((ended, result.text.as_str()), (run, "[killed: it was stopped]"));
    assert_gone(number_in(&pid).unwrap(), Duration::from_secs(2));
}

#[test]
fn what_a_command_leaves_behind_neither_lives_on_nor_holds_the_answer_back() {
    let mut world = World::new();
    let start = Instant::now();
    let result = world.command(&["sh", "-c", &format!("{ESCAPED}\nsleep 3600 & echo done")]);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(result.text, "done\n[exit code 0]");
    assert_gone(number_in(&world.path("pid")).unwrap(), Duration::from_secs(2));
}

#[test]
fn of_a_long_output_both_ends_are_told_and_the_command_is_not_held_up() {
    let mut world = World::new();
    let result = world.command(&["sh", "-c", "seq 1 100000; echo last >&2"]);
    assert!(
        result.text.starts_with("1\n2\n3\n") && result.text.ends_with("\n99999\n100000\nlast\n[exit code 0]")
    );
    assert!(
        result.text.contains(" bytes left out here]\n") && result.text.len() < 4_100,
        "{}",
        result.text.len()
    );
}

#[test]
fn a_command_that_never_stops_writing_is_killed() {
    let mut world = World::new();
    let result = world.command(&["yes"]);
    assert!(
        !result.is_ok && result.text.contains("[killed: it wrote more than 16777216 bytes]"),
        "{}",
        result.text
    );
    assert!(result.text.len() < 4_200);
}

#[test]
fn what_is_too_much_at_once_waits_for_its_turn() {
    let mut world = World::new();
    let long: Vec<_> =
        (0..TOOL_RUNS_MAX).map(|_| world.start("run-command", &arguments(&["sleep", "3600"]))).collect();
    let last = world.start("list-dir", "{}");
    let waiting = world.start("list-dir", "{}");
    world.hands.stop(waiting);
    let (ended, result) = world.next();
    assert_eq!((ended, result.text.as_str()), (waiting, "stopped before it began"));
    world.hands.stop(long[1]);
    let ended = [world.next().0, world.next().0];
    assert_eq!(ended, [long[1], last]);
    for run in long {
        world.hands.stop(run);
    }
}

#[test]
fn the_other_tools_answer_too() {
    let mut world = World::new();
    let wrote = world.run("write-file", r#"{"path":"sub/note","content":"remember"}"#);
    assert!(wrote.is_ok, "{}", wrote.text);
    assert_eq!(world.run("read-file", r#"{"path":"sub/note"}"#).text, "remember");
    assert_eq!(world.run("list-dir", r#"{"path":"sub"}"#).text.trim_end(), "file 8 note");
    assert!(world.run("system-info", "{}").text.contains("memory: "));
    assert!(world.run("read-file", r#"{"path":"/etc/passwd"}"#).text.contains("must be relative"));
    assert!(world.run("no-tool", "{}").text.contains("there is no tool"));
    let page = world.run("http-get", r#"{"url":"http://127.0.0.1:9/"}"#);
    assert!(page.text.contains("the address is private"), "{}", page.text);
}

#[test]
fn the_newest_events_are_told() {
    let mut world = World::new();
    assert_eq!(world.run("events", "{}").text, "[no such events]");
    world.tell("old_one", 2);
    world.tell("new_one", 600);
    let all = world.run("events", r#"{"limit":3}"#).text;
    let numbers: Vec<&str> = all.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(numbers, ["number 600", "number 601", "number 602"], "{all}");
    assert!(all.lines().all(|line| line.len() < 500), "metadata are cut: {all}");
    let old = world.run("events", r#"{"type":"old*","severity":"error"}"#).text;
    assert_eq!(old.lines().count(), 1);
    assert!(
        old.starts_with("2026-11-21T00:36:11.123Z error old_one 000000000002-00000007 \"number 2\" "),
        "{old}"
    );
    let many = world.run("events", r#"{"limit":50}"#).text;
    assert!(
        many.starts_with('[') && many.contains("older ones left out]\n") && many.len() <= 4_040,
        "{many}"
    );
    assert!(many.contains("number 602"));
}
