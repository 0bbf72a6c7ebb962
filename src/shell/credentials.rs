//! The keys and tokens of the state folder: made, read and changed so that a power cut leaves the old file or the new one, and
//! read again by a running agent when somebody has changed them.

use std::cell::{Cell, RefCell};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use super::state;
use crate::agent::event::JsonText;
use crate::agent::setup::Secret;
use crate::agent::time::Mono;
use crate::api::Security;
use crate::api::access::tokens::{TOKENS_BYTES_MAX, Token, Tokens};
use crate::api::audit::Deed;
use crate::config::Config;
use crate::wire::jwt::Key;

/// Name of the file with the tokens that were made.
pub const TOKENS_FILE: &str = "tokens";
const LOCK_FILE: &str = "tokens.lock";
/// The files of a running agent are looked at no more often, in milliseconds.
const LOOK_INTERVAL_MS: u64 = 1_000;

/// The tokens that were made; none, if there is no file yet.
///
/// # Errors
/// The file is there and cannot be read, or is too large.
pub fn read_tokens(dir: &Path) -> io::Result<Tokens> {
    let mut bytes = Vec::new();
    match File::open(dir.join(TOKENS_FILE)) {
        Ok(file) => file.take(TOKENS_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Tokens::default()),
        Err(error) => return Err(error),
    };
    if bytes.len() > TOKENS_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file of tokens is too large"));
    }
    // What is no text is a damaged line.
    Ok(Tokens::parse(&String::from_utf8_lossy(&bytes)))
}

/// Changes the tokens; nobody else does at the same time. What is changed is durable when this returns.
///
/// # Errors
/// The file cannot be read or written; what `change` says otherwise.
pub fn change_tokens<T, E: From<io::Error>>(
    dir: &Path,
    change: impl FnOnce(&mut Tokens) -> Result<T, E>,
) -> Result<T, E> {
    let _lock = lock(dir)?;
    let mut tokens = read_tokens(dir)?;
    let done = change(&mut tokens)?;
    replace(dir, TOKENS_FILE, &tokens.text())?;
    Ok(done)
}

/// Makes a new key that signs; the one that signed until then goes on verifying, an older one is forgotten.
///
/// # Errors
/// The file cannot be read or written.
pub fn rotate_keys(dir: &Path) -> io::Result<Vec<Secret>> {
    let _lock = lock(dir)?;
    let mut keys = state::signing_secrets(dir)?;
    keys.insert(0, state::new_secret()?);
    keys.truncate(state::KEYS_MAX);
    let lines: String = keys.iter().map(|key| format!("{}\n", key.0)).collect();
    replace(dir, state::KEYS_FILE, &lines)?;
    Ok(keys)
}

/// The keys of JSON Web Tokens: those of the config if it has any, else those of the state folder.
///
/// # Errors
/// The file of the state folder cannot be read or made.
pub fn keys(dir: &Path, config: &Config) -> io::Result<Vec<Key>> {
    let own = [&config.security.secret_key, &config.security.secret_key_previous];
    let of = |secret: &Secret| Key::new(secret.0.as_bytes());
    if config.security.secret_key.is_some() {
        return Ok(own.into_iter().flatten().map(of).collect());
    }
    Ok(state::signing_secrets(dir)?.iter().map(of).collect())
}

/// Whether somebody beyond this machine holds a credential: a token, key or signing key of the config, or a token that was made.
/// The secret of the first start does not count: nobody may have seen it.
#[must_use]
pub fn somebody_may_call(config: &Config, tokens: &Tokens) -> bool {
    let security = &config.security;
    let is_configured =
        security.token.is_some() || security.api_key.is_some() || security.secret_key.is_some();
    // Whether one has expired only the calendar knows, which nobody has asked yet.
    is_configured || tokens.list().iter().any(|token| token.revoked_s.is_none())
}

/// Whether the config lets callers in from beyond this machine although none of them could show anything.
///
/// # Errors
/// What to do about it.
pub fn check_open(config: &Config) -> Result<(), String> {
    if config.server.host.to_canonical().is_loopback() {
        return Ok(());
    }
    let dir = state::dir_of(&config.ledger.path);
    let tokens = read_tokens(&dir).unwrap_or_default();
    if somebody_may_call(config, &tokens) {
        return Ok(());
    }
    Err(format!(
        "server.host is {}, beyond this machine, and nobody has a credential for it: set security.token (16 characters or \
         more), or make one with `chainbot token create NAME --role admin`",
        config.server.host
    ))
}

fn lock(dir: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let path = dir.join(LOCK_FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    give_to_owner_of(dir, &path)?;
    file.lock()?;
    Ok(file)
}

/// Under the lock, so the name beside is nobody else's.
fn replace(dir: &Path, name: &str, text: &str) -> io::Result<()> {
    let beside = dir.join(format!("{name}.new"));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    give_to_owner_of(dir, &beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, dir.join(name))?;
    File::open(dir)?.sync_all()
}

/// What root makes in the agent's folder must be the agent's.
fn give_to_owner_of(dir: &Path, path: &Path) -> io::Result<()> {
    let (owner, own) = (fs::metadata(dir)?, fs::symlink_metadata(path)?);
    if (owner.uid(), owner.gid()) == (own.uid(), own.gid()) || own.uid() == owner.uid() {
        return Ok(());
    }
    chown(path, Some(owner.uid()), Some(owner.gid()))
}

/// What tells one content of a file from another: its time of change, length and number.
type Stamp = Option<(i64, i64, u64, u64)>;

/// The files of a running agent, looked at again when a credential is shown.
pub struct Watch {
    dir: PathBuf,
    seen: RefCell<[Stamp; 2]>,
    looked_at: Cell<Option<Mono>>,
}

impl Watch {
    /// Watches the files of this folder, as they were read just after.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), seen: RefCell::new(stamps(dir)), looked_at: Cell::new(None) }
    }

    /// Whether it is time to look again: once a second.
    pub fn is_due(&self, now: Mono) -> bool {
        let is_due = self.looked_at.get().is_none_or(|at| now.since(at) >= LOOK_INTERVAL_MS);
        if is_due {
            self.looked_at.set(Some(now));
        }
        is_due
    }

    /// Reads again what has changed; what somebody did to it.
    pub fn refresh(&self, config: &Config, security: &RefCell<Security>) -> Vec<Deed> {
        let stamps = stamps(&self.dir);
        if *self.seen.borrow() == stamps {
            return Vec::new();
        }
        *self.seen.borrow_mut() = stamps;
        let mut deeds = Vec::new();
        let mut security = security.borrow_mut();
        match keys(&self.dir, config) {
            Ok(keys) => {
                if security.keys.first().map(Key::kid) != keys.first().map(Key::kid) {
                    deeds.push(Deed::on("token.rotate", keys.first().map_or("", Key::kid)));
                }
                security.keys = keys;
            }
            Err(error) => log::error!("signing_keys_unreadable kept=true why=\"{error}\""),
        }
        let tokens = tokens_or_none(&self.dir);
        deeds.extend(deeds_between(&security.tokens, &tokens));
        security.tokens = tokens;
        log::info!("credentials_read tokens={}", security.tokens.list().len());
        deeds
    }
}

/// What somebody did who made the second of the first.
fn deeds_between(old: &Tokens, new: &Tokens) -> Vec<Deed> {
    let deed = |what, token: &Token| {
        let details = JsonText::of_strings(&[("id", &token.id), ("role", token.role.as_str())]);
        Deed { what, on: token.name.clone(), details: Some(details.0) }
    };
    let mut deeds = Vec::new();
    for token in new.list() {
        let before = old.find(&token.id);
        if before.is_none() {
            deeds.push(deed("token.create", token));
        }
        if token.revoked_s.is_some() && before.is_none_or(|before| before.revoked_s.is_none()) {
            deeds.push(deed("token.revoke", token));
        }
    }
    deeds
}

/// The tokens; none of a file that cannot be read, since nobody knows which were revoked.
pub(super) fn tokens_or_none(dir: &Path) -> Tokens {
    let tokens = read_tokens(dir).unwrap_or_else(|error| {
        log::error!("tokens_unreadable none_taken=true why=\"{error}\"");
        Tokens::default()
    });
    if !tokens.damaged().is_empty() {
        log::error!("tokens_damaged lines={:?} taken=false", tokens.damaged());
    }
    tokens
}

fn stamps(dir: &Path) -> [Stamp; 2] {
    [TOKENS_FILE, state::KEYS_FILE].map(|name| {
        let about = fs::metadata(dir.join(name)).ok()?;
        Some((about.mtime(), about.mtime_nsec(), about.len(), about.ino()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::access::tokens::{Token, new_key};
    use crate::api::routes::Role;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("chainbot-tokens-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            state::ensure_dir(&dir).expect("a writable temporary directory");
            Self(dir)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn add(dir: &Path, n: u8) {
        let (id, _, proof) = new_key(&[n; 38]);
        let (name, role) = (format!("t{n}"), Role::Viewer);
        let token = Token { id, name, role, proof, created_s: 1, expires_s: None, revoked_s: None };
        change_tokens(dir, |tokens| {
            tokens.add(token, 1).expect("room");
            io::Result::Ok(())
        })
        .expect("changed");
    }

    #[test]
    fn tokens_are_kept_for_their_owner_alone_and_nothing_stays_beside_them() {
        let dir = Dir::new("kept");
        assert_eq!(read_tokens(&dir.0).expect("none yet"), Tokens::default());
        fs::write(dir.0.join("tokens.new"), "left by a power cut").expect("written");
        add(&dir.0, 1);
        add(&dir.0, 2);
        assert_eq!(read_tokens(&dir.0).expect("there").list().len(), 2);
        assert_eq!(fs::metadata(dir.0.join(TOKENS_FILE)).expect("there").mode() & 0o777, 0o600);
        assert!(!dir.0.join("tokens.new").exists());
        fs::write(dir.0.join(TOKENS_FILE), vec![b'x'; TOKENS_BYTES_MAX + 1]).expect("written");
        assert!(read_tokens(&dir.0).is_err());
        fs::write(dir.0.join(TOKENS_FILE), b"\xff\xfe\n").expect("written");
        assert_eq!(read_tokens(&dir.0).expect("damaged").damaged(), [1]);
    }

    #[test]
    fn a_change_that_fails_changes_nothing() {
        let dir = Dir::new("fails");
        add(&dir.0, 1);
        let failed: io::Result<()> = change_tokens(&dir.0, |tokens| {
            tokens.revoke("t1", 5);
            Err(io::Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!(read_tokens(&dir.0).expect("there").list()[0].revoked_s, None);
    }

    #[test]
    fn many_who_change_at_once_lose_nothing() {
        let dir = Dir::new("many");
        let threads: Vec<_> = (0..8)
            .map(|n| {
                let dir = dir.0.clone();
                #[allow(clippy::disallowed_methods, reason = "a test of processes that meet")]
                std::thread::spawn(move || (0..4).for_each(|m| add(&dir, n * 4 + m)))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        let tokens = read_tokens(&dir.0).expect("there");
        assert_eq!((tokens.list().len(), tokens.damaged().len()), (32, 0));
    }

    #[test]
    fn the_newest_of_two_keys_comes_first_and_the_third_is_forgotten() {
        let dir = Dir::new("keys");
        let first = state::signing_secrets(&dir.0).expect("made");
        assert_eq!((first.len(), first[0].0.len()), (1, 64));
        assert_eq!(state::signing_secrets(&dir.0).expect("read"), first);
        let second = rotate_keys(&dir.0).expect("rotated");
        assert_eq!((second.len(), &second[1]), (2, &first[0]));
        let third = rotate_keys(&dir.0).expect("rotated");
        assert_eq!((third.len(), &third[1]), (2, &second[0]));
        assert_eq!(state::signing_secrets(&dir.0).expect("read"), third);
        assert_eq!(fs::metadata(dir.0.join(state::KEYS_FILE)).expect("there").mode() & 0o777, 0o600);
        for bad in
            ["short\n", &format!("{0}\n{0}\n{0}\n", "k".repeat(32)), "with a space and long enough, really\n"]
        {
            fs::write(dir.0.join(state::KEYS_FILE), bad).expect("written");
            assert!(state::signing_secrets(&dir.0).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_watch_reads_what_has_changed_and_asks_no_more_than_once_a_second() {
        let dir = Dir::new("watch");
        let config = crate::config::read(&crate::config::Inputs {
            file: None,
            environment: &[],
            read: &|_| Err(io::ErrorKind::NotFound.into()),
            state_dir: Some(&dir.0),
            own_addresses: &[],
            hostname: "",
            built_at: crate::agent::time::Wall(0),
        })
        .expect("the defaults are good");
        let known = Security { keys: keys(&dir.0, &config).expect("made"), ..Security::default() };
        let watch = Watch::new(&dir.0);
        let security = RefCell::new(known);
        let count = || security.borrow().tokens.list().len();
        let refresh = || -> Vec<(&'static str, String)> {
            watch.refresh(&config, &security).into_iter().map(|deed| (deed.what, deed.on)).collect()
        };
        assert!(watch.is_due(Mono(0)) && !watch.is_due(Mono(999)) && watch.is_due(Mono(1_000)));
        assert_eq!((refresh(), count()), (Vec::new(), 0), "nothing has changed");
        add(&dir.0, 1);
        let made = [("token.create", "t1".to_owned())];
        assert_eq!((refresh().as_slice(), count()), (&made[..], 1));
        change_tokens(&dir.0, |tokens| io::Result::Ok(tokens.revoke("t1", 5).is_some())).expect("changed");
        rotate_keys(&dir.0).expect("rotated");
        let told = refresh();
        assert_eq!((told[0].0, &told[1]), ("token.rotate", &("token.revoke", "t1".to_owned())));
        assert_eq!((told.len(), security.borrow().keys.len()), (2, 2));
        fs::write(dir.0.join(TOKENS_FILE), "damaged\n").expect("written");
        assert_eq!((refresh(), count()), (Vec::new(), 0));
    }
}
