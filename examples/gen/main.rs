//! Makes the manual page and the shell completions from the program's own table of commands:
//! `cargo run --example gen` writes them below `packaging/`. `tests/generated.rs` fails when they are out of date.

use std::path::Path;
use std::process::ExitCode;

mod completions;
mod files;
mod man;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in files::all() {
        if let Err(error) = std::fs::write(root.join(path), text) {
            eprintln!("{path}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
