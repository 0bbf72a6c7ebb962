//! `chat`: a conversation on the terminal. The agent holds it and does all the work; this prints what comes.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use signal_hook::consts::SIGINT;

use super::approvals;
use super::args::Typed;
use super::ask::{AskFault, RunningAgent};
use super::out::{Exit, Failure, Out, Paint, note, printable};
use crate::agent::brain::speech::is_session_name;
use crate::agent::limits::MESSAGE_BYTES_MAX;
use crate::wire::json::{Json, push_raw, push_text};

const SESSION_DEFAULT: &str = "terminal";
/// How soon Ctrl-C is seen.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Exit code of a program that SIGINT ended.
const INTERRUPTED: i32 = 130;

/// Who is talked with, and how.
struct Talk<'a> {
    agent: &'a RunningAgent,
    session: String,
    model: String,
    persona: String,
    /// Whether a person sits there, who can be asked.
    is_person: bool,
    is_answering: Arc<AtomicBool>,
}

/// `chat [--agent NAME] [--model MODEL] [--persona NAME] [TEXT]`.
pub fn chat(typed: &Typed, agent: &RunningAgent, out: &mut Out) -> Result<(), Failure> {
    let session = typed.value("agent").unwrap_or(SESSION_DEFAULT).to_owned();
    if !is_session_name(&session) {
        let words = format!(
            "--agent is \"{}\": must be 1 to 64 characters of A-Z a-z 0-9 . _ -",
            printable(&session)
        );
        return Err(Failure::new(Exit::Usage, words));
    }
    let given = |name| typed.value(name).unwrap_or("").to_owned();
    let is_piped = !io::stdin().is_terminal();
    let talk = Talk {
        agent,
        session,
        model: given("model"),
        persona: given("persona"),
        is_person: !is_piped && io::stdout().is_terminal(),
        is_answering: Arc::new(AtomicBool::new(false)),
    };
    let text = typed.operands.first().cloned();
    let is_over = AtomicBool::new(false);
    let watch = watch(&talk, &is_over)?;
    std::thread::scope(|scope| {
        scope.spawn(watch);
        let result = match (text, is_piped) {
            (None, false) => talk.go_on(out),
            (Some(text), false) => talk.say(&text, out),
            (text, true) => talk.say(&piped(text)?, out),
        };
        is_over.store(true, Ordering::Relaxed);
        result
    })
}

/// TEXT, and behind it what comes through the pipe.
fn piped(text: Option<String>) -> Result<String, Failure> {
    let mut whole = text.unwrap_or_default();
    let mut rest = Vec::new();
    io::stdin()
        .lock()
        .take(MESSAGE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut rest)
        .map_err(|error| Failure::new(Exit::Io, format_args!("cannot read standard input: {error}")))?;
    let rest = String::from_utf8_lossy(&rest);
    if !whole.is_empty() && !rest.trim().is_empty() {
        whole.push_str("\n\n");
    }
    whole.push_str(rest.trim_end());
    if whole.len() > MESSAGE_BYTES_MAX {
        let words = format!("the text is longer than {MESSAGE_BYTES_MAX} bytes");
        return Err(Failure::new(Exit::Data, words));
    }
    Ok(whole)
}

/// Looks for Ctrl-C until all is over: while an answer comes it stops that, else it ends the program.
fn watch<'a>(talk: &'a Talk<'a>, is_over: &'a AtomicBool) -> Result<impl FnOnce() + Send + 'a, Failure> {
    let is_asked = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGINT, Arc::clone(&is_asked))
        .map_err(|error| Failure::new(Exit::Other, format_args!("cannot listen to Ctrl-C: {error}")))?;
    let is_answering = Arc::clone(&talk.is_answering);
    let path = format!("/api/gpt/conversation/{}/stop", talk.session);
    let agent = talk.agent;
    Ok(move || {
        while !is_over.load(Ordering::Relaxed) {
            if is_asked.swap(false, Ordering::Relaxed) {
                if !is_answering.swap(false, Ordering::Relaxed) {
                    std::process::exit(INTERRUPTED);
                }
                // What comes of it is seen where the answer ends.
                let _ = agent.post(&path, &[], "{}");
            }
            wait();
        }
    })
}

#[allow(clippy::disallowed_methods, reason = "this process only asks questions: nothing else waits for it")]
fn wait() {
    std::thread::sleep(LOOK_INTERVAL);
}

impl Talk<'_> {
    /// Line by line, until there are no more.
    fn go_on(&self, out: &mut Out) -> Result<(), Failure> {
        let mut line = String::new();
        loop {
            out.text(&out.paint(Paint::Bold, "> "))?;
            out.flush()?;
            line.clear();
            let read = io::stdin().lock().take(MESSAGE_BYTES_MAX as u64).read_line(&mut line);
            match read {
                Ok(0) => return out.line(""),
                Ok(_) if line.trim().is_empty() => {}
                // A refusal is no reason to leave the conversation; an agent that is gone is.
                Ok(_) => match self.say(line.trim(), out) {
                    Err(Failure::Told(Exit::Other, words)) => note(&words),
                    other => other?,
                },
                Err(error) => {
                    return Err(Failure::new(Exit::Io, format_args!("cannot read standard input: {error}")));
                }
            }
        }
    }

    /// Says one thing and prints the answer as it comes.
    fn say(&self, text: &str, out: &mut Out) -> Result<(), Failure> {
        let mut body = String::from("{");
        push_text(&mut body, "session_id", &self.session);
        push_text(&mut body, "message", text);
        for (name, value) in [("model", &self.model), ("persona", &self.persona)] {
            if !value.is_empty() {
                push_text(&mut body, name, value);
            }
        }
        push_raw(&mut body, "stream", "true");
        body.push('}');
        let mut end = None;
        let mut trouble = Ok(());
        self.is_answering.store(true, Ordering::Relaxed);
        let result = self.agent.stream("/api/chat", &body, |line| {
            let Ok(json) = Json::parse(line.as_bytes()) else { return true };
            trouble = self.print(json, out);
            if json.get("done").and_then(Json::bool) == Some(true) {
                end = Some(ending(json));
                return false;
            }
            trouble.is_ok()
        });
        self.is_answering.store(false, Ordering::Relaxed);
        trouble?;
        match result {
            Ok(()) => {}
            Err(AskFault::Refused(status, why))
                if (400..600).contains(&status) && status != 401 && status != 403 =>
            {
                return Err(Failure::new(Exit::Other, why));
            }
            Err(fault) => return Err(self.agent.failure(&fault)),
        }
        out.line("")?;
        out.flush()?;
        match end {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(Failure::new(Exit::Other, why)),
            None => Err(Failure::new(Exit::Unavailable, "the agent broke off in the middle of the answer")),
        }
    }

    /// One line of the answer.
    fn print(&self, line: Json<'_>, out: &mut Out) -> Result<(), Failure> {
        if let Some(event) = line.some("event") {
            return self.on_event(event, out);
        }
        if line.get("done").and_then(Json::bool) == Some(true) {
            return Ok(());
        }
        let content = line.at(&["message", "content"]).and_then(Json::text).unwrap_or_default();
        // A model's text has lines; what else could move the cursor is no part of it.
        let clean: String =
            content.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '?' } else { c }).collect();
        out.text(&clean)?;
        out.flush()
    }

    fn on_event(&self, event: Json<'_>, out: &mut Out) -> Result<(), Failure> {
        let text = |path: &[&str]| printable(&event.at(path).and_then(Json::text).unwrap_or_default());
        let kind = text(&["type"]);
        let (tool, subject) = (text(&["metadata", "tool"]), text(&["metadata", "subject"]));
        if kind != "approval_requested" {
            return out.line(out.paint(Paint::Faint, &format!("[{kind} {tool} {subject}]")));
        }
        let id = text(&["id"]);
        if !self.is_person {
            note(&format!("{tool} {subject} waits for leave: chainbot approvals --allow {id}"));
            return Ok(());
        }
        let arguments = text(&["metadata", "arguments"]);
        out.text(&out.paint(Paint::Warn, &format!("\nAllow {tool} {subject} {arguments}? [y/N] ")))?;
        out.flush()?;
        let mut answer = String::new();
        let _ = io::stdin().lock().take(64).read_line(&mut answer);
        let is_yes = matches!(answer.trim(), "y" | "Y" | "yes");
        // Another may have decided meanwhile: the conversation goes on in any case.
        if let Err(Failure::Told(_, words)) = approvals::answer(self.agent, &id, is_yes) {
            note(&words);
        }
        io::stdout().flush().map_err(Failure::from)
    }
}

/// How the answer ended; another end than a good one in words.
fn ending(line: Json<'_>) -> Result<(), String> {
    if let Some(error) = line.some("error").and_then(Json::text) {
        return Err(printable(&error));
    }
    match line.some("done_reason").and_then(Json::text).as_deref() {
        Some("done") | None => Ok(()),
        Some("stopped") => Err("stopped".to_owned()),
        Some(reason) => Err(format!("the answer ended early: {}", printable(reason))),
    }
}
