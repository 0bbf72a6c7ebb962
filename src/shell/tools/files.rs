//! `read-file`, `write-file`, `list-dir`. They may wait for the disk, so they run in a helper thread.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt as _;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::root::Root;
use super::text::{done, failed, plain, whole, words_of};
use crate::agent::brain::speech::ToolResult;
use crate::agent::limits::{LISTED_ENTRIES_MAX, WRITTEN_BYTES_MAX};

/// Entries of a folder that are looked at to find the first of them. Beyond: the rest is not counted.
const ENTRIES_MAX: usize = 65_536;
/// Mode of a new file: what a model writes is nobody else's to read until someone says so.
const NEW_FILE_MODE: u32 = 0o600;

pub(super) fn read(root: &Root, path: &str, offset: u64, bytes_max: u64) -> ToolResult {
    match try_read(root, path, offset, bytes_max) {
        Ok(text) => done(text),
        Err(error) => failed(format!("{path} cannot be read: {}", words_of(&error))),
    }
}

fn try_read(root: &Root, path: &str, offset: u64, bytes_max: u64) -> io::Result<String> {
    let (file, stat) = open_regular(root, path)?;
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    while (bytes.len() as u64) < bytes_max {
        let wanted = usize::try_from(bytes_max - bytes.len() as u64).unwrap_or(part.len()).min(part.len());
        match file.read_at(&mut part[..wanted], offset.saturating_add(bytes.len() as u64))? {
            0 => break,
            read => bytes.extend_from_slice(&part[..read]),
        }
    }
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let end = offset.saturating_add(bytes.len() as u64);
    if end < size && whole(&bytes) > 0 {
        bytes.truncate(whole(&bytes));
    }
    let end = offset.saturating_add(bytes.len() as u64);
    let mut text = plain(&bytes);
    if offset > 0 || end < size {
        let _ = write!(text, "\n[bytes {offset} to {end} of {size}");
        text.push_str(if end < size { "; go on with the second as offset]" } else { "]" });
    }
    if text.is_empty() {
        text.push_str("[the file is empty]");
    }
    Ok(text)
}

/// Opens a regular file for reading. What it is, is known before it is opened: only to open some devices does something.
fn open_regular(root: &Root, path: &str) -> io::Result<(File, Stat)> {
    let there = root.open_at(path, OFlags::PATH)?;
    check_regular(&rustix::fs::fstat(&there)?)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let through = format!("/proc/self/fd/{}", there.as_raw_fd());
    let opened = match rustix::fs::open(through, flags, Mode::empty()) {
        // Without a /proc it is opened by its path once more, and looked at again.
        Err(Errno::NOENT) => root.open_at(path, flags)?,
        opened => opened?,
    };
    let stat = rustix::fs::fstat(&opened)?;
    check_regular(&stat)?;
    Ok((File::from(opened), stat))
}

fn check_regular(stat: &Stat) -> io::Result<()> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Directory => Err(Errno::ISDIR.into()),
        FileType::Symlink => Err(Errno::LOOP.into()),
        _ => Err(io::Error::other("it is not a regular file")),
    }
}

pub(super) fn write(root: &Root, path: &str, content: &str, is_append: bool) -> ToolResult {
    match try_write(root, path, content, is_append) {
        Ok(size) => done(format!("{} bytes written; {path} has {size} bytes", content.len())),
        Err(error) => failed(format!("{path} cannot be written: {}", words_of(&error))),
    }
}

/// Writes beside the file and renames over it: whoever reads it sees the old or the new content, a power cut too, and a
/// link that is put there meanwhile is replaced, never followed.
fn try_write(root: &Root, path: &str, content: &str, is_append: bool) -> io::Result<u64> {
    let (folder, name) = root.folder_of(path)?;
    let old = match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Some(stat),
        Err(Errno::NOENT) => None,
        Err(error) => return Err(error.into()),
    };
    old.as_ref().map_or(Ok(()), check_regular)?;
    let before = match old {
        Some(_) if is_append => Some(open_regular(root, path)?.0),
        _ => None,
    };
    let mode = old.map_or(NEW_FILE_MODE, |stat| stat.st_mode & 0o777);
    let beside = format!(".chainbot-{:016x}", super::super::state::seed()?);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::openat(&folder, &*beside, flags, Mode::RUSR | Mode::WUSR)?);
    let written = fill(file, before, content, mode)
        .and_then(|size| Ok(rustix::fs::renameat(&folder, &*beside, &folder, name).map(|()| size)?));
    if written.is_err() {
        let _ = rustix::fs::unlinkat(&folder, &*beside, AtFlags::empty());
    }
    written
}

fn fill(mut file: File, before: Option<File>, content: &str, mode: u32) -> io::Result<u64> {
    let limit = WRITTEN_BYTES_MAX as u64;
    let mut size = content.len() as u64;
    if let Some(before) = before {
        // One byte beyond the limit tells "too large" from "just fits".
        size += copy(&mut before.take(limit + 1), &mut file)?;
    }
    if size > limit {
        return Err(io::Error::other(format!("it would have more than {limit} bytes")));
    }
    file.write_all(content.as_bytes())?;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(mode as _))?;
    file.sync_all()?;
    Ok(size)
}

/// As `io::copy`, whose own buffer is too much for a small stack.
fn copy(from: &mut dyn io::Read, to: &mut File) -> io::Result<u64> {
    let mut part = [0; 4096];
    let mut copied = 0;
    loop {
        match from.read(&mut part) {
            Ok(0) => return Ok(copied),
            Ok(read) => {
                to.write_all(&part[..read])?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

pub(super) fn list(root: &Root, path: &str) -> ToolResult {
    match try_list(root, path) {
        Ok(text) => done(text),
        Err(error) => failed(format!("{path} cannot be listed: {}", words_of(&error))),
    }
}

fn try_list(root: &Root, path: &str) -> io::Result<String> {
    let folder = root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
    let (names, more) = first_names(&folder)?;
    let mut text = String::new();
    for name in &names {
        let line = match rustix::fs::statat(&folder, name.as_c_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => describe(&stat),
            // It went away meanwhile.
            Err(_) => continue,
        };
        // Quotes and escapes for what would not stay on its line.
        let shown = name.to_string_lossy();
        let is_plain = !shown.chars().any(|c| c.is_control() || c == '"' || c == '\u{fffd}');
        let _ = if is_plain { writeln!(text, "{line} {shown}") } else { writeln!(text, "{line} {shown:?}") };
    }
    if more > 0 {
        let at_least = if more + names.len() >= ENTRIES_MAX { "at least " } else { "" };
        let _ = write!(text, "[{at_least}{more} more entries left out]");
    }
    if text.is_empty() {
        text.push_str("[the folder is empty]");
    }
    Ok(text)
}

fn describe(stat: &Stat) -> String {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => format!("file {}", stat.st_size),
        FileType::Directory => "folder -".to_owned(),
        FileType::Symlink => "link -".to_owned(),
        _ => "other -".to_owned(),
    }
}

type Names = BTreeSet<std::ffi::CString>;

/// The first names in their order, and how many follow.
fn first_names(folder: &OwnedFd) -> io::Result<(Names, usize)> {
    let mut names = Names::new();
    let mut more = 0;
    for entry in Dir::read_from(folder.as_fd())?.take(ENTRIES_MAX) {
        let entry = entry?;
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        names.insert(entry.file_name().to_owned());
        if names.len() > LISTED_ENTRIES_MAX {
            names.pop_last();
            more += 1;
        }
    }
    Ok((names, more))
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
