//! Arguments, command, exit code.

/// One heap for all threads: the C library's has one for each, and musl's is slow.
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> std::process::ExitCode {
    chainbot::cli::main(std::env::args_os().skip(1))
}
