//! What is made from the table of commands is what the table says today. `cargo run --example gen` renews it.

#[path = "../examples/gen/completions.rs"]
mod completions;
#[path = "../examples/gen/files.rs"]
mod files;
#[path = "../examples/gen/man.rs"]
mod man;

use std::path::Path;

#[test]
fn manual_page_and_completions_are_up_to_date() {
    for (path, text) in files::all() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(kept == text, "{path} is out of date: cargo run --example gen");
    }
}

#[test]
fn every_command_and_option_is_in_each_of_them() {
    for (path, text) in files::all() {
        for command in chainbot::cli::commands::COMMANDS {
            for word in command.name.split(' ') {
                assert!(text.contains(word), "{path} lacks {}", command.name);
            }
            for option in command.options {
                assert!(text.replace("\\-", "-").contains(option.long), "{path} lacks --{}", option.long);
            }
        }
    }
}
