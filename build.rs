//! Tells the program what it was built from: `CHAINBOT_COMMIT`, `CHAINBOT_TARGET` and `CHAINBOT_BUILT_AT` (Unix
//! seconds). The build time is `SOURCE_DATE_EPOCH` or the commit's date, never the clock: the same commit gives the
//! same program. Without git (a source archive) it builds too, with `unknown` and 0.
//!
//! And tells the linker of a release build what saves memory.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    for name in ["CHAINBOT_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let is_checkout = is_own_checkout();
    if is_checkout {
        watch_head();
    }
    let from_git = |args: &[&str]| is_checkout.then(|| git(args)).flatten();
    let commit = variable("CHAINBOT_COMMIT").or_else(|| from_git(&["rev-parse", "--short=12", "HEAD"]));
    let built_at = variable("SOURCE_DATE_EPOCH")
        .or_else(|| from_git(&["log", "-1", "--format=%ct"]))
        .filter(|seconds| seconds.parse::<u32>().is_ok());
    println!("cargo::rustc-env=CHAINBOT_COMMIT={}", commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=CHAINBOT_BUILT_AT={}", built_at.as_deref().unwrap_or("0"));
    println!("cargo::rustc-env=CHAINBOT_TARGET={}", variable("TARGET").as_deref().unwrap_or("unknown"));
    if variable("PROFILE").as_deref() == Some("release") {
        link_for_memory();
    }
}

/// Code that hardly ever runs goes behind the rest (`seldom.ld`), and the list of addresses that the loader corrects
/// at every start becomes a bitmap, 150 KiB smaller. zig's linker does not know the latter; others that do not, say so
/// and go on.
fn link_for_memory() {
    println!("cargo::rerun-if-changed=seldom.ld");
    let root = variable("CARGO_MANIFEST_DIR").unwrap_or_default();
    println!("cargo::rustc-link-arg-bins=-Wl,-T,{root}/seldom.ld");
    if variable("CARGO_CFG_TARGET_ENV").as_deref() == Some("gnu") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A source archive that was unpacked inside another project's checkout must not take that project's commit.
fn is_own_checkout() -> bool {
    let own = variable("CARGO_MANIFEST_DIR").and_then(|path| Path::new(&path).canonicalize().ok());
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(|path| Path::new(&path).canonicalize().ok());
    own.is_some() && own == top
}

/// `HEAD` changes with a checkout, its log with every commit too. A file that does not exist would make cargo build
/// anew each time, so only those that do are named.
fn watch_head() {
    for name in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", name])
            && Path::new(&path).exists()
        {
            println!("cargo::rerun-if-changed={path}");
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
