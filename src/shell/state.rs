//! What the process finds around it once, at its start: the state directory, the first secret, a seed, its own names
//! on the network, and the service manager that wants to hear how it goes.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::ifaddrs::{InterfaceAddress, getifaddrs};

use crate::agent::ids::hex;
use crate::agent::setup::Secret;
use crate::wire::jwt::KEY_BYTES_MIN;

/// Name of the secret's file in the state directory.
pub const TOKEN_FILE: &str = "token";
/// Name of the file with the keys of JSON Web Tokens in the state directory.
pub const KEYS_FILE: &str = "signing_keys";
/// Most keys in it, the newest first.
pub const KEYS_MAX: usize = 2;
/// Bytes of randomness in a secret made here; it is written as twice as many hex digits.
const SECRET_BYTES: usize = 32;
/// Shortest secret that is taken from the file, in bytes: someone may have put an own one there.
const SECRET_TEXT_MIN: usize = 16;
/// Longest secret that is taken from the file, in bytes.
const SECRET_TEXT_MAX: usize = 1_024;

/// The state directory: where the ledger's file stands.
#[must_use]
pub fn dir_of(ledger: &Path) -> PathBuf {
    match ledger.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Makes the directory, for its owner alone, with what leads to it. One that exists stays as it is.
///
/// # Errors
/// It cannot be made, or something else has its name.
pub fn ensure_dir(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The secret of this installation: read from `token` in the state directory, made there at the first start.
///
/// It is durable before it is answered, readable by its owner alone, and never follows a link to make its file. A file
/// that others may read is closed to them. An empty file is what a power cut leaves of a first start: nobody has seen a
/// secret from it, so it is filled.
///
/// # Errors
/// The file cannot be read or made, belongs to somebody else, or holds no usable secret (16 to 1,024 printable
/// characters without spaces).
pub fn first_start_secret(dir: &Path) -> io::Result<Secret> {
    let mut secrets = secrets_in(dir, TOKEN_FILE, SECRET_TEXT_MIN, 1)?;
    Ok(secrets.swap_remove(0))
}

/// The keys of JSON Web Tokens, 1 to `KEYS_MAX`, the newest first: read from `signing_keys`, the first one made there at the
/// first start, as the secret of this installation is.
///
/// # Errors
/// As `first_start_secret`; a key has 32 characters or more.
pub fn signing_secrets(dir: &Path) -> io::Result<Vec<Secret>> {
    secrets_in(dir, KEYS_FILE, KEY_BYTES_MIN, KEYS_MAX)
}

/// A secret that nobody has seen.
///
/// # Errors
/// The kernel gives no randomness.
pub fn new_secret() -> io::Result<Secret> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(Secret(hex(&bytes)))
}

fn secrets_in(dir: &Path, name: &str, text_min: usize, lines_max: usize) -> io::Result<Vec<Secret>> {
    let path = dir.join(name);
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(file) => fill(file, dir),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            read_secrets(&path, dir, text_min, lines_max)
                .map_err(|error| io::Error::new(error.kind(), format!("{name} file: {error}")))
        }
        Err(error) => Err(error),
    }
}

fn fill(mut file: File, dir: &Path) -> io::Result<Vec<Secret>> {
    let secret = new_secret()?;
    file.write_all(secret.0.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(vec![secret])
}

fn read_secrets(path: &Path, dir: &Path, text_min: usize, lines_max: usize) -> io::Result<Vec<Secret>> {
    let file = OpenOptions::new().read(true).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(invalid("is not a file"));
    }
    if about.len() == 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
        return fill(OpenOptions::new().write(true).open(path)?, dir);
    }
    if about.mode() & 0o077 != 0 {
        log::warn!(
            "secret_readable_by_others file=\"{}\" mode={:o} closed=true",
            path.display(),
            about.mode() & 0o777
        );
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    let mut text = String::new();
    file.take((SECRET_TEXT_MAX * KEYS_MAX) as u64 + 4).read_to_string(&mut text)?;
    let secrets: Vec<&str> =
        text.trim_end_matches(['\r', '\n']).split('\n').map(|line| line.trim_end_matches('\r')).collect();
    if secrets.len() > lines_max {
        return Err(invalid("holds too many lines"));
    }
    if !secrets.iter().all(|secret| (text_min..=SECRET_TEXT_MAX).contains(&secret.len())) {
        return Err(invalid(if text_min == SECRET_TEXT_MIN {
            "must hold 16 to 1024 characters; remove it to have a new one made"
        } else {
            "must hold 32 to 1024 characters in a line; remove it to have a new one made"
        }));
    }
    if !secrets.iter().flat_map(|secret| secret.bytes()).all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(
            "holds a space or a character that cannot be typed; remove it to have a new one made",
        ));
    }
    Ok(secrets.into_iter().map(|secret| Secret(secret.to_owned())).collect())
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// A seed for jitter and correlation ids.
///
/// # Errors
/// The kernel gives no randomness.
pub fn seed() -> io::Result<u64> {
    getrandom::u64().map_err(io::Error::other)
}

/// The addresses of this machine's interfaces, loopback among them, in order.
#[must_use]
pub fn own_addresses() -> Vec<IpAddr> {
    let ip_of = |address: InterfaceAddress| {
        let address = address.address?;
        let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    };
    let mut found: Vec<_> = getifaddrs().into_iter().flatten().filter_map(ip_of).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The name of this machine, if it has one.
#[must_use]
pub fn host_name() -> Option<String> {
    let name = rustix::system::uname().nodename().to_str().ok()?.to_owned();
    (!name.is_empty()).then_some(name)
}

/// Tells the service manager how it goes (`READY=1`, `STOPPING=1`, `STATUS=...`; `man sd_notify`). Answers whether
/// there is one that wants to hear: `NOTIFY_SOCKET` is set.
///
/// # Errors
/// It cannot be reached. Nothing depends on it: log it and go on.
pub fn sd_notify(state: &str) -> io::Result<bool> {
    match std::env::var_os("NOTIFY_SOCKET") {
        Some(name) if !name.is_empty() => notify(name.as_bytes(), state).map(|()| true),
        _ => Ok(false),
    }
}

/// How often the service manager wants to hear `WATCHDOG=1` (`man sd_watchdog_enabled`): half of the time after which
/// it gives this process up. `None`: it does not watch, or it watches another process.
#[must_use]
pub fn watchdog_interval() -> Option<Duration> {
    let text = |name| std::env::var(name).ok();
    interval_of(text("WATCHDOG_USEC")?.as_str(), text("WATCHDOG_PID").as_deref(), std::process::id())
}

fn interval_of(usec: &str, pid: Option<&str>, own_pid: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own_pid)) {
        return None;
    }
    usec.parse().ok().filter(|usec| *usec > 0).map(|usec| Duration::from_micros(usec) / 2)
}

fn notify(name: &[u8], state: &str) -> io::Result<()> {
    let address = match name.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold the loop.
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A directory of one test's own, removed at its end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("chainbot-state-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            ensure_dir(&dir).expect("a writable temporary directory");
            Self(dir)
        }

        fn token(&self) -> PathBuf {
            self.0.join(TOKEN_FILE)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it exists").mode() & 0o777
    }

    #[test]
    fn a_watchdog_is_fed_at_half_of_its_time_and_only_if_it_watches_us() {
        let second = Some(Duration::from_secs(1));
        for (usec, pid, interval) in [
            ("2000000", None, second),
            ("2000000", Some("7"), second),
            ("2000000", Some("8"), None),
            ("2000000", Some("x"), None),
            ("0", None, None),
            ("-1", None, None),
            ("soon", None, None),
        ] {
            assert_eq!(interval_of(usec, pid, 7), interval, "{usec} {pid:?}");
        }
    }

    #[test]
    fn the_state_directory_is_for_its_owner_and_stands_around_the_ledger() {
        let dir = Dir::new("dir");
        assert_eq!(mode(&dir.0), 0o700);
        let deep = dir.0.join("a/b");
        ensure_dir(&deep).expect("made");
        ensure_dir(&deep).expect("again");
        assert_eq!(dir_of(Path::new("/var/lib/chainbot/ledger.redb")), Path::new("/var/lib/chainbot"));
        assert_eq!(dir_of(Path::new("ledger.redb")), Path::new("."));
    }

    #[test]
    fn the_first_start_makes_a_secret_and_the_next_reads_it() {
        let dir = Dir::new("first");
        let made = first_start_secret(&dir.0).expect("made");
        assert_eq!(made.0.len(), 64);
        assert!(made.0.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(mode(&dir.token()), 0o600);
        assert_eq!(first_start_secret(&dir.0).expect("read"), made);
        let other = Dir::new("other");
        assert_ne!(first_start_secret(&other.0).expect("made"), made);
    }

    #[test]
    fn a_file_that_others_may_read_is_closed_to_them() {
        let dir = Dir::new("open");
        fs::write(dir.token(), "0123456789abcdef\r\n").expect("written");
        fs::set_permissions(dir.token(), Permissions::from_mode(0o644)).expect("opened");
        assert_eq!(first_start_secret(&dir.0).expect("read").0, "0123456789abcdef");
        assert_eq!(mode(&dir.token()), 0o600);
    }

    #[test]
    fn what_a_power_cut_left_empty_is_filled() {
        let dir = Dir::new("empty");
        fs::write(dir.token(), "").expect("written");
        let made = first_start_secret(&dir.0).expect("filled");
        assert_eq!(first_start_secret(&dir.0).expect("read"), made);
    }

    #[test]
    fn a_damaged_file_is_refused_and_left_as_it_is() {
        let dir = Dir::new("damaged");
        for bad in [
            "short",
            "0123456789abcdef\n0123456789abcdef",
            "sixteen characters with spaces",
            &"x".repeat(2_000),
            "\u{fc}mlaut-umlaut-umlaut",
            "\n",
        ] {
            fs::write(dir.token(), bad).expect("written");
            let error = first_start_secret(&dir.0).expect_err(bad);
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{bad}");
            assert_eq!(fs::read_to_string(dir.token()).expect("still there"), bad);
        }
    }

    #[test]
    fn a_secret_is_not_made_through_a_link() {
        let dir = Dir::new("link");
        let elsewhere = dir.0.join("elsewhere");
        std::os::unix::fs::symlink(&elsewhere, dir.token()).expect("linked");
        assert!(first_start_secret(&dir.0).is_err());
        assert!(!elsewhere.exists());
    }

    #[test]
    fn the_service_manager_hears_on_a_path_and_on_an_abstract_name() {
        let dir = Dir::new("notify");
        let path = dir.0.join("socket");
        let abstract_name = format!("chainbot-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("a name");
        for (socket, name) in [
            (UnixDatagram::bind(&path).expect("bound"), path.as_os_str().as_bytes().to_vec()),
            (UnixDatagram::bind_addr(&address).expect("bound"), format!("@{abstract_name}").into_bytes()),
        ] {
            notify(&name, "READY=1").expect("sent");
            let mut heard = [0; 32];
            let length = socket.recv(&mut heard).expect("heard");
            assert_eq!(&heard[..length], b"READY=1");
        }
        assert!(notify(b"/nonexistent/socket", "READY=1").is_err());
    }

    #[test]
    fn this_machine_has_a_loopback_address_and_seeds_differ() {
        assert!(own_addresses().iter().any(IpAddr::is_loopback));
        assert_ne!(seed().expect("random"), seed().expect("random"));
    }
}
