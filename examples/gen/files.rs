//! Which files there are.

use super::{completions, man};

/// Path below the root of the checkout, and content.
pub fn all() -> Vec<(&'static str, String)> {
    vec![
        ("packaging/man/chainbot.1", man::page()),
        ("packaging/completions/chainbot.bash", completions::bash()),
        ("packaging/completions/_chainbot", completions::zsh()),
        ("packaging/completions/chainbot.fish", completions::fish()),
    ]
}
