//! Arguments, command, exit code.

fn main() -> std::process::ExitCode {
    chainbot::cli::main(std::env::args_os().skip(1))
}
