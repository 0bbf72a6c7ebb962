//! The folder that no path leaves.
//!
//! A path is taken below a descriptor of the folder by `openat2` with `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS |
//! RESOLVE_NO_SYMLINKS`: the kernel itself refuses `..`, absolute paths and every symbolic link on the way, whoever
//! changes the folders meanwhile. Links are refused even where they stay inside: what a person or a rule allowed is the
//! path, and it must be what is touched. A kernel (or a filter of system calls) that does not know `openat2` is walked
//! component by component with `O_NOFOLLOW`, which comes to the same.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};

/// A descriptor of the folder.
#[derive(Debug)]
pub(super) struct Root {
    folder: OwnedFd,
    walks: bool,
}

impl Root {
    /// Opens the folder, following links: where it is was said by the operator. Made with mode 0700 if it is missing.
    pub(super) fn open(path: &str) -> io::Result<Self> {
        let folder = match open_folder(path) {
            Err(rustix::io::Errno::NOENT) => {
                rustix::fs::mkdir(path, Mode::RWXU)?;
                open_folder(path)?
            }
            other => other?,
        };
        let walks = !knows_openat2(folder.as_fd());
        Ok(Self { folder, walks })
    }

    /// As `open`, as if the kernel did not know `openat2`.
    #[cfg(test)]
    pub(super) fn open_walking(path: &str) -> io::Result<Self> {
        Ok(Self { walks: true, ..Self::open(path)? })
    }

    /// Opens a path below the folder; no part of it may be a link, and `O_CLOEXEC` is always set.
    pub(super) fn open_at(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        if path.split('/').any(|part| part.is_empty() || part == "..") {
            return Err(rustix::io::Errno::XDEV.into());
        }
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        if self.walks {
            return Ok(walk(self.folder.as_fd(), path, flags)?);
        }
        Ok(rustix::fs::openat2(&self.folder, path, flags, Mode::empty(), RESOLVE)?)
    }

    /// The folder that holds a path, and the path's last part.
    pub(super) fn folder_of<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", path));
        if matches!(name, "" | "." | "..") {
            return Err(rustix::io::Errno::ISDIR.into());
        }
        Ok((self.open_at(folder, OFlags::PATH | OFlags::DIRECTORY)?, name))
    }
}

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

fn open_folder(path: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// A filter of system calls may answer with any error, so any error means that it is not to be had.
fn knows_openat2(folder: BorrowedFd<'_>) -> bool {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat2(folder, ".", flags, Mode::empty(), RESOLVE).is_ok()
}

fn walk(folder: BorrowedFd<'_>, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Some((before, last)) = path.rsplit_once('/') else {
        return refuse_link(rustix::fs::openat(folder, path, flags, Mode::empty())?, flags);
    };
    let mut at: Option<OwnedFd> = None;
    for part in before.split('/') {
        let from = at.as_ref().map_or(folder, |fd| fd.as_fd());
        at = Some(rustix::fs::openat(from, part, step, Mode::empty())?);
    }
    let from = at.as_ref().map_or(folder, |fd| fd.as_fd());
    refuse_link(rustix::fs::openat(from, last, flags, Mode::empty())?, flags)
}

/// `O_PATH | O_NOFOLLOW` opens a link itself, which is no use here.
fn refuse_link(opened: OwnedFd, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    if !flags.contains(OFlags::PATH) {
        return Ok(opened);
    }
    let stat = rustix::fs::fstat(&opened)?;
    match rustix::fs::FileType::from_raw_mode(stat.st_mode) {
        rustix::fs::FileType::Symlink => Err(rustix::io::Errno::LOOP),
        _ => Ok(opened),
    }
}
