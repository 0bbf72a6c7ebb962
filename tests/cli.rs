//! The real program as a person types it: what it prints, and the code that it ends with.
#![allow(clippy::unwrap_used, reason = "a helper that cannot go on should stop the test")]

#[path = "stand_in/mod.rs"]
mod stand_in;

use std::io::Write;
use std::process::{Command, Stdio};

use stand_in::process::{Folder, Program, exe, free_address};

const BUILT: &str = env!("CARGO_BIN_EXE_chainbot");
/// The test vector of the Standard Webhooks specification.
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const TIMESTAMP: &str = "1649367553";
const BODY: &str = r#"{"email":"test@example.com","username":"test_user"}"#;
const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";

struct Said {
    code: i32,
    out: String,
    err: String,
}

/// Runs the program in an empty folder without any configuration of this machine.
fn run(words: &[&str], stdin: &str, variables: &[(&str, &str)]) -> Said {
    let folder = Folder::new("cli");
    run_in(&folder, words, stdin, variables)
}

fn run_in(folder: &Folder, words: &[&str], stdin: &str, variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(exe(BUILT));
    command.args(words).env_clear().current_dir(&folder.0).envs(variables.iter().copied());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A program that does not read its input is right to close it.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn said(words: &[&str]) -> Said {
    run(words, "", &[])
}

/// A config whose agent does not run.
fn config(folder: &Folder, more: &str) -> String {
    let path = folder.0.join("chainbot.toml");
    let address = free_address();
    let text = format!(
        "[server]\nhost = \"{}\"\nport = {}\n[ledger]\npath = \"{}/ledger.redb\"\n{more}",
        address.ip(),
        address.port(),
        folder.0.display()
    );
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn help_is_everywhere_and_names_the_exit_codes() {
    for words in [&["--help"][..], &["-h"], &["help"], &["--config", "nowhere.toml", "--help"]] {
        let said = said(words);
        assert_eq!((said.code, said.err.as_str()), (0, ""), "{words:?}");
        for part in
            ["Usage: chainbot", "events", "webhook sign", "Examples:", "64    the command line is wrong"]
        {
            assert!(said.out.contains(part), "{words:?} lacks {part}:\n{}", said.out);
        }
    }
    for words in [&["events", "--help"][..], &["help", "ledger", "salvage"], &["webhook", "-h"]] {
        let said = said(words);
        assert_eq!(said.code, 0);
        assert!(said.out.contains("Examples:\n  chainbot "), "{words:?}:\n{}", said.out);
    }
}

#[test]
fn what_was_mistyped_is_answered_with_64_and_the_right_name() {
    for (words, right) in [
        (&["statsu"][..], "did you mean \"status\"?"),
        (&["ledger", "verfiy"], "did you mean \"ledger verify\"?"),
        (&["events", "--sinc", "0"], "did you mean --since?"),
        (&["events", "--since", "yesterday"], "must be the id of an event, or 0"),
        (&["webhook", "sign"], "needs FILE"),
        (&["webhook", "sign", "--secret", "abc", "-"], "a signing secret begins with whsec_"),
        (&["webhook", "send", "--data", "[1]"], "--data must be an object"),
    ] {
        let said = said(words);
        assert_eq!(said.code, 64, "{words:?}: {}", said.err);
        assert!(said.err.contains(right) && said.out.is_empty(), "{words:?}: {}", said.err);
    }
}

#[test]
fn version_says_what_it_was_built_from() {
    for words in [&["version"][..], &["--version"], &["-V"]] {
        let said = said(words);
        assert_eq!(said.code, 0);
        assert!(said.out.starts_with(concat!("chainbot ", env!("CARGO_PKG_VERSION"), " (")), "{}", said.out);
        assert_eq!(said.out.lines().count(), 1);
        assert!(said.out.contains('-'), "a target triple: {}", said.out);
    }
}

#[test]
fn check_names_all_faults_at_once_with_their_lines() {
    let folder = Folder::new("cli");
    let path = folder.0.join("bad.toml");
    std::fs::write(
        &path,
        "[server]\nport = 70000\nhots = \"127.0.0.1\"\n\n[alex_os]\nhealth_check_interval = \"often\"\n",
    )
    .unwrap();
    let variables = [("CHAINBOT_SERVER__PROT", "1")];
    let said = run_in(&folder, &["check", "--config", "bad.toml"], "", &variables);
    assert_eq!(said.code, 78, "{}", said.err);
    for part in [
        "server.port is 70000",
        "bad.toml line 2",
        "did you mean server.host?",
        "bad.toml line 3",
        "alex_os.health_check_interval",
        "bad.toml line 6",
        "CHAINBOT_SERVER__PROT",
        "did you mean CHAINBOT_SERVER__PORT?",
        "4 faults",
    ] {
        assert!(said.err.contains(part), "no {part:?} in:\n{}", said.err);
    }
    let run = run_in(&folder, &["run", "--config", "bad.toml"], "", &[]);
    assert_eq!(run.code, 78, "it does not start with that either: {}", run.err);
}

#[test]
fn check_is_content_with_the_defaults_and_with_the_reference() {
    assert_eq!(said(&["check"]).code, 0);
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/config.toml");
    let said = said(&["check", "--config", reference]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.ends_with("config.toml: good\n"), "{}", said.out);
}

#[test]
fn authorities_that_cannot_be_used_are_a_fault_of_the_config() {
    let folder = Folder::new("cli-ca");
    let name = |file: &str| folder.0.join(file).display().to_string();
    std::fs::copy("tests/fixtures/tls/authority.pem", name("good.pem")).unwrap();
    std::fs::write(name("no.pem"), "no certificate").unwrap();
    for (file, exit) in [("good.pem", 0), ("no.pem", 78), ("missing.pem", 78)] {
        let config = config(&folder, &format!("[security]\nauthorities = \"{}\"\n", name(file)));
        let said = said(&["check", "--config", &config]);
        assert_eq!(said.code, exit, "{file}: {}", said.err);
        assert!(exit == 0 || said.err.contains("security.authorities"), "{}", said.err);
    }
}

#[test]
fn secrets_that_only_the_agent_has_are_no_fault_when_it_is_asked() {
    let folder = Folder::new("cli-ask");
    let aiwm =
        "[aiwm]\nenabled = true\nbase_url = \"http://192.0.2.1\"\nagent_id = \"65f0c0ffee65f0c0ffee65f0\"\n";
    let path = config(&folder, aiwm);
    let text = std::fs::read_to_string(&path).unwrap().replace("\"127.0.0.1\"", "\"0.0.0.0\"");
    std::fs::write(&path, &text).unwrap();
    assert_eq!(said(&["check", "--config", &path]).code, 78, "it would not start so");
    let asked = said(&["status", "--config", &path]);
    assert_eq!(asked.code, 69, "nobody answers: {}", asked.err);
    std::fs::write(&path, text + "[log]\nlevel = \"loud\"\n").unwrap();
    assert_eq!(said(&["status", "--config", &path]).code, 78, "any other fault is one");
}

#[test]
fn a_config_that_was_named_must_exist() {
    for (words, variables) in [
        (&["check", "--config", "nowhere.toml"][..], &[][..]),
        (&["check"], &[("CHAINBOT_CONFIG", "nowhere.toml")]),
    ] {
        let said = run(words, "", variables);
        assert_eq!(said.code, 78);
        assert!(said.err.contains("cannot read nowhere.toml"), "{}", said.err);
    }
}

#[test]
fn config_show_names_origins_and_masks_secrets() {
    let folder = Folder::new("cli");
    let secret = "0123456789abcdef0123456789abcdef";
    let path = config(&folder, &format!("[aiwm]\nagent_secret = \"{secret}\"\n"));
    let variables = [("LOG_LEVEL", "debug"), ("OPENAI_API_KEY", "sk-0000111122223333")];
    for words in
        [&["config", "show", "--config", &path][..], &["config", "show", "--json", "--config", &path]]
    {
        let said = run_in(&folder, words, "", &variables);
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(!said.out.contains(secret) && !said.out.contains("sk-0000"), "{}", said.out);
        for part in ["cdef", "environment LOG_LEVEL", "chainbot.toml line ", "server.port"] {
            assert!(said.out.contains(part), "no {part:?} in:\n{}", said.out);
        }
    }
    let docs = said(&["config", "docs"]);
    assert_eq!(docs.code, 0);
    assert!(
        docs.out.contains("CHAINBOT_ALEX_OS__HEALTH_CHECK_INTERVAL")
            && docs.out.contains("ALEX_OS_HEALTH_INTERVAL")
    );
}

#[test]
fn webhook_sign_gives_the_signature_of_the_specification() {
    let words = ["webhook", "sign", "--secret", SECRET, "--id", ID, "--timestamp", TIMESTAMP, "-"];
    let said = run(&words, BODY, &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(
        said.out,
        format!("webhook-id: {ID}\nwebhook-timestamp: {TIMESTAMP}\nwebhook-signature: {SIGNATURE}\n")
    );
}

#[test]
fn webhook_verify_tells_right_from_wrong() {
    let folder = Folder::new("cli");
    std::fs::write(folder.0.join("body.json"), BODY).unwrap();
    let verify = |signature: &str, file: &str, more: &[&str]| {
        let mut words = vec!["webhook", "verify", "--secret", SECRET, "--id", ID, "--timestamp", TIMESTAMP];
        words.extend(["--signature", signature, file]);
        words.extend(more);
        run_in(&folder, &words, "other body", &[])
    };
    let right = verify(SIGNATURE, "body.json", &[]);
    assert_eq!((right.code, right.out.as_str()), (0, "valid\n"), "{}", right.err);
    assert_eq!(verify(&format!("v1,AAAA {SIGNATURE}"), "body.json", &[]).code, 0, "one of several is enough");
    for (signature, file, more, why) in [
        (SIGNATURE, "-", &[][..], "fits none"),
        ("v1,AAAA", "body.json", &[], "fits none"),
        (SIGNATURE, "body.json", &["--fresh"], "s old"),
    ] {
        let wrong = verify(signature, file, more);
        assert_eq!(wrong.code, 65, "{file} {signature}");
        assert!(wrong.err.contains(why), "{}", wrong.err);
    }
    assert_eq!(verify(SIGNATURE, "no-such-file", &[]).code, 74);
}

#[test]
fn the_secret_of_the_config_signs_if_none_is_typed() {
    let folder = Folder::new("cli");
    let path = config(&folder, &format!("[security]\nwebhook_secrets = [\"{SECRET}\"]\n"));
    let words = ["--config", &path, "webhook", "sign", "--id", ID, "--timestamp", TIMESTAMP, "-"];
    let said = run_in(&folder, &words, BODY, &[]);
    assert!(said.out.contains(SIGNATURE), "{}{}", said.out, said.err);
}

#[test]
fn webhook_send_reaches_an_endpoint_and_is_signed() {
    let receiver = stand_in::receiver::open();
    let url = format!("{}/hook", receiver.url());
    let words = [
        "webhook",
        "send",
        &url,
        "--type",
        "door",
        "--data",
        r#"{"door":3}"#,
        "--secret",
        SECRET,
        "--id",
        "m1",
    ];
    let sent = said(&words);
    assert_eq!(sent.code, 0, "{}", sent.err);
    let request = receiver.peer.state.look(|state| state.seen[0].clone());
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
    assert_eq!(request.body, r#"{"event_type":"door","door":3}"#);
    let mut headers = ureq::http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.header(name).unwrap().parse().unwrap());
    }
    standardwebhooks::Webhook::new(SECRET).unwrap().verify(request.body.as_bytes(), &headers).unwrap();

    receiver.peer.state.change(|state| state.status = 503);
    let refused = said(&words);
    assert_eq!(refused.code, 69);
    assert!(refused.err.contains("answered 503"), "{}", refused.err);
}

#[test]
fn without_an_agent_the_answer_is_69_and_the_address() {
    let folder = Folder::new("cli");
    let path = config(&folder, "");
    for words in [&["status"][..], &["status", "--json"], &["webhook", "send"]] {
        let said = run_in(&folder, &[words, &["--config", &path]].concat(), "", &[]);
        assert_eq!(said.code, 69, "{words:?}: {}", said.err);
        assert!(said.err.contains("no agent answers at http://127.0.0.1:"), "{}", said.err);
        assert!(said.out.is_empty());
    }
}

#[test]
fn a_token_is_made_only_of_what_is_typed_right_and_shown_once() {
    let folder = Folder::new("tokens");
    let config = config(&folder, "");
    let token = |words: &[&str]| {
        let said = run_in(&folder, &[&["--config", &config, "token"][..], words].concat(), "", &[]);
        (said.code, said.out, said.err)
    };
    for (words, told) in [
        (&["create", "bob"][..], "Say --role viewer, operator or admin"),
        (&["create", "bob", "--role", "boss"], "--role is \"boss\": say viewer, operator or admin"),
        (&["create", "bob", "--role", "viewer", "--days", "0"], "--days is \"0\": say 1 to 3650"),
        (&["create", "bob", "--role", "viewer", "--days", "x"], "--days is \"x\": say 1 to 3650"),
    ] {
        let (code, out, err) = token(words);
        assert_eq!((code, out.as_str(), err.contains(told)), (64, "", true), "{words:?}: {err}");
    }
    let (code, key, _) = token(&["create", "bob", "--role", "viewer"]);
    assert_eq!((code, key.starts_with("cb_"), key.lines().count()), (0, true, 1));
    let (code, listed, _) = token(&["list"]);
    assert_eq!((code, listed.contains("bob"), listed.contains(key.trim())), (0, true, false), "{listed}");
    assert_eq!(token(&["revoke", "nobody"]).0, 65);
    assert_eq!(token(&["revoke", "bob"]).0, 0);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let program = Program { path: exe(BUILT), words: vec!["config".into(), "docs".into()] };
    let folder = Folder::new("cli");
    let path = config(&folder, "");
    let mut child =
        program.command(path.as_ref()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn there_are_no_colours_where_nobody_sees_them() {
    let said = said(&["--help"]);
    assert!(!said.out.contains('\u{1b}'));
}

/// A ledger with three events, made by the library that the agent uses.
fn ledger_with_events(folder: &Folder) -> Vec<String> {
    use chainbot::agent::event::{Event, JsonText, Severity, Source};
    use chainbot::agent::ids::{EventId, LedgerId, Seq};
    use chainbot::agent::memory::Write as Record;
    use chainbot::agent::time::Wall;
    use chainbot::ledger::{Ledger, Limits};

    let limits = Limits { size_max_bytes: 16 << 20, events_max: 100 };
    let (ledger, memory) = Ledger::open_file(&folder.0.join("ledger.redb"), limits, 0xabc).unwrap();
    assert_eq!(memory.ledger, LedgerId(0xabc));
    let event = |seq: u64, kind: &str, severity| Event {
        seq: Seq(seq),
        at: Wall(1_795_221_371_123),
        kind: kind.to_owned(),
        source: Source::Chainbot,
        severity,
        message: "what happened\u{1b}[2J".to_owned(),
        metadata: JsonText(r#"{"n": 1.50}"#.to_owned()),
    };
    let records = [
        event(1, "door_opened", Severity::Info),
        event(2, "door_forced", Severity::Critical),
        event(3, "lamp_lit", Severity::Info),
    ];
    ledger.commit(&[records.map(Record::Event).to_vec()]).unwrap();
    (1..=3).map(|seq| EventId { seq: Seq(seq), ledger: memory.ledger }.to_string()).collect()
}

#[test]
fn events_are_read_from_the_file_when_no_agent_runs() {
    let folder = Folder::new("cli");
    let path = config(&folder, "");
    let ask = |more: &[&str]| run_in(&folder, &[&["events", "--config", &path], more].concat(), "", &[]);
    let nothing = ask(&[]);
    assert_eq!(nothing.code, 69, "{}", nothing.err);

    let ids = ledger_with_events(&folder);
    let all = ask(&[]);
    assert_eq!((all.code, all.err.as_str()), (0, ""));
    assert_eq!(
        all.out.lines().next().unwrap(),
        format!("2026-11-21T00:36:11.123Z info     door_opened {} what happened?[2J", ids[0])
    );
    let seen = |more: &[&str]| {
        let out = ask(more).out;
        ids.iter().map(|id| out.contains(id.as_str())).collect::<Vec<_>>()
    };
    assert_eq!(seen(&[]), [true, true, true]);
    assert_eq!(seen(&["--since", &ids[0]]), [false, true, true]);
    assert_eq!(seen(&["--since", "000000000002-00000def"]), [true, true, true], "a place in another ledger");
    assert_eq!(seen(&["--type", "door_*"]), [true, true, false]);
    assert_eq!(
        seen(&["--type", "lamp_lit,door_forced", "--severity", "critical,error"]),
        [false, true, false]
    );
    assert_eq!(seen(&["--limit", "2"]), [true, true, false]);
    let json = ask(&["--json", "--limit", "1"]).out;
    let json = stand_in::json::parse(&json).unwrap();
    assert_eq!(stand_in::json::str_at(&json, &["type"]), Some("door_opened"));
    assert!(stand_in::json::at(&json, &["metadata", "n"]).is_some());
}

#[test]
fn a_damaged_ledger_is_told_and_never_a_crash() {
    let folder = Folder::new("cli");
    ledger_with_events(&folder);
    let whole = std::fs::read(folder.0.join("ledger.redb")).unwrap();
    let mut damaged = 0;
    for page in (0..whole.len()).step_by(4_096).filter(|at| whole[*at..*at + 4_096].iter().any(|b| *b != 0)) {
        for offset in [4, 700] {
            let mut broken = whole.clone();
            broken[page + offset..page + offset + 64].fill(0xa5);
            for words in [&["ledger", "verify", "broken.redb"][..], &["ledger", "stats", "broken.redb"]] {
                std::fs::write(folder.0.join("broken.redb"), &broken).unwrap();
                let said = run_in(&folder, words, "", &[]);
                assert!(
                    [0, 65].contains(&said.code),
                    "{words:?} at {page}+{offset}: {} {}",
                    said.code,
                    said.err
                );
                assert!(!said.err.contains("panicked"), "{}", said.err);
                damaged += usize::from(said.code == 65);
            }
        }
    }
    assert!(damaged > 5, "only {damaged} damages were seen");
}

#[test]
fn a_ledger_is_verified_measured_compacted_and_salvaged() {
    let folder = Folder::new("cli");
    let ids = ledger_with_events(&folder);
    let said = |words: &[&str]| run_in(&folder, &[&["ledger"], words].concat(), "", &[]);
    assert_eq!(said(&["verify", "ledger.redb"]).code, 0);
    let stats = said(&["stats", "ledger.redb"]);
    assert!(stats.out.contains("events    3") && stats.out.contains(&ids[2]), "{}{}", stats.out, stats.err);
    let compacted = said(&["compact", "ledger.redb"]);
    assert!(compacted.code == 0 && compacted.out.contains(" after"), "{}", compacted.err);

    let whole = std::fs::read(folder.0.join("ledger.redb")).unwrap();
    let place = whole.windows(11).rposition(|window| window == b"door_forced").unwrap();
    let mut broken = whole;
    broken[place] ^= 1;
    std::fs::write(folder.0.join("broken.redb"), broken).unwrap();
    let verdict = said(&["verify", "--quiet", "broken.redb"]);
    assert_eq!(verdict.code, 65, "{}{}", verdict.out, verdict.err);
    assert_eq!(verdict.out.lines().count(), 1, "the reason, for the agent: {}", verdict.out);
    let salvaged = said(&["salvage", "broken.redb", "new.redb"]);
    assert_eq!(
        (salvaged.code, salvaged.out.contains("events_salvaged=2")),
        (0, true),
        "{}{}",
        salvaged.out,
        salvaged.err
    );
    assert_eq!(said(&["verify", "new.redb"]).code, 0);
    let again = said(&["salvage", "broken.redb", "new.redb"]);
    assert_eq!(again.code, 73, "{}", again.err);
    assert_eq!(said(&["verify", "no-such.redb"]).code, 74);
}
