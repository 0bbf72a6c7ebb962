//! What a model's call of a tool may do: allowed tools, then the rules, then the mode.
//!
//! The controller's permission mode stands for the mode; its `plan` lets nothing but reading pass, whatever the rules say.

use super::setup::{Permission, ToolsSetup};
use super::speech::ToolCall;

/// Tools that change nothing, here or elsewhere.
const READING: [&str; 4] = ["read-file", "list-dir", "system-info", "events"];
/// Tools that `acceptEdits` lets pass.
const EDITING: &str = "write-file";

/// The controller's word about permission (`claude.permission_mode`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// It says nothing, or a word that is not known: the config's mode.
    #[default]
    Config,
    /// `default`: people are asked.
    Ask,
    /// `acceptEdits`: files may be written, for the rest people are asked.
    AcceptEdits,
    /// `plan`: reading only.
    Plan,
    /// `bypassPermissions`: what no rule forbids.
    Bypass,
}

impl Mode {
    /// Reads the controller's word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "default" => Self::Ask,
            "acceptEdits" => Self::AcceptEdits,
            "plan" => Self::Plan,
            "bypassPermissions" => Self::Bypass,
            _ => Self::Config,
        }
    }
}

/// Everything that permission depends on.
#[derive(Clone, Copy, Debug)]
pub struct Law<'a> {
    /// Names of allowed tools, or prefixes ending in `*`: the controller's, else the config's.
    pub allowed: &'a [String],
    /// Rules and mode of the config.
    pub tools: &'a ToolsSetup,
    /// The controller's mode.
    pub mode: Mode,
}

impl Law<'_> {
    /// Whether the model is told of this tool (or family of tools, `mcp__*`).
    #[must_use]
    pub fn is_told(&self, tool: &str) -> bool {
        self.mode != Mode::Plan || READING.contains(&tool)
    }

    /// What happens to this call.
    #[must_use]
    pub fn judge(&self, call: &ToolCall) -> Permission {
        let tool = call.name.as_str();
        let is_allowed = self.allowed.iter().any(|pattern| fits(pattern, tool));
        if !is_allowed || !self.is_told(tool) {
            return Permission::Deny;
        }
        let rule = self.tools.rules.iter().find(|rule| {
            fits(&rule.tool, tool) && (rule.pattern.is_empty() || fits(&rule.pattern, &call.subject))
        });
        match (rule, self.mode) {
            (Some(rule), _) => rule.mode,
            (None, Mode::Config) => self.tools.mode,
            (None, Mode::Bypass | Mode::Plan) => Permission::Allow,
            (None, Mode::AcceptEdits) if tool == EDITING => Permission::Allow,
            (None, Mode::AcceptEdits | Mode::Ask) => Permission::Ask,
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters. Takes at most their lengths' product of steps.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on if what follows the last `*` does not fit: that star takes one byte more.
    let mut again: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            again = Some((p + 1, t));
            p += 1;
        } else if pattern.get(p) == Some(&text[t]) {
            (p, t) = (p + 1, t + 1);
        } else if let Some((after, taken)) = again {
            again = Some((after, taken + 1));
            (p, t) = (after, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::super::setup::Rule;
    use super::*;

    fn call(name: &str, subject: &str) -> ToolCall {
        ToolCall {
            id: "c".to_owned(),
            name: name.to_owned(),
            arguments: "{}".to_owned(),
            subject: subject.to_owned(),
        }
    }

    fn rule(mode: Permission, tool: &str, pattern: &str) -> Rule {
        Rule { mode, tool: tool.to_owned(), pattern: pattern.to_owned() }
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "x/y"),
            ("/etc/*", "/etc/a/b"),
            ("*.txt", "a.txt.txt"),
            ("git * -m *", "git commit -m x"),
            ("a*b*c", "axxbxxbc"),
            ("ü*", "üa"),
        ] {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("", "x"), ("a", "ab"), ("*.txt", "a.txt "), ("/etc/*", "/et"), ("a*b", "ac")]
        {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_malicious_text_costs_no_more_than_the_product_of_the_lengths() {
        let pattern = "*a".repeat(40) + "b";
        assert!(!fits(&pattern, &"a".repeat(16_000)));
    }

    #[test]
    fn the_first_rule_that_fits_decides_and_then_the_mode() {
        let tools = ToolsSetup {
            rules: vec![
                rule(Permission::Deny, "run-command", "rm *"),
                rule(Permission::Allow, "run-command", "ls*"),
                rule(Permission::Ask, "mcp__*", ""),
            ],
            ..ToolsSetup::default()
        };
        let allowed = ["run-command".to_owned(), "write-file".to_owned(), "mcp__*".to_owned()];
        let judge = |mode, name: &str, subject: &str| {
            Law { allowed: &allowed, tools: &tools, mode }.judge(&call(name, subject))
        };
        for (mode, name, subject, wanted) in [
            (Mode::Config, "run-command", "rm -rf /", Permission::Deny),
            (Mode::Bypass, "run-command", "rm -rf /", Permission::Deny),
            (Mode::Config, "run-command", "ls -l", Permission::Allow),
            (Mode::Config, "run-command", "make", Permission::Ask),
            (Mode::Bypass, "run-command", "make", Permission::Allow),
            (Mode::Bypass, "mcp__a__b", "", Permission::Ask),
            (Mode::Ask, "write-file", "x", Permission::Ask),
            (Mode::AcceptEdits, "write-file", "x", Permission::Allow),
            (Mode::AcceptEdits, "run-command", "make", Permission::Ask),
            (Mode::Plan, "run-command", "ls", Permission::Deny),
            (Mode::Config, "read-file", "x", Permission::Deny),
        ] {
            assert_eq!(judge(mode, name, subject), wanted, "{mode:?} {name} {subject}");
        }
        let reading = ["read-file".to_owned()];
        let plan = Law { allowed: &reading, tools: &tools, mode: Mode::Plan };
        assert_eq!(plan.judge(&call("read-file", "x")), Permission::Allow);
    }
}
