use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::*;

/// A folder `root` beside a folder `outside`, both removed at the end.
struct Yard {
    dir: PathBuf,
}

impl Yard {
    fn new() -> Self {
        let name = format!("chainbot-files-{:016x}", crate::shell::state::seed().expect("random"));
        let dir = std::env::temp_dir().join(name);
        for part in ["root/sub/deep", "outside"] {
            fs::create_dir_all(dir.join(part)).expect("folder");
        }
        fs::write(dir.join("outside/secret"), "secret").expect("file");
        fs::write(dir.join("root/plain"), "hello\n").expect("file");
        Self { dir }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.dir.join(below)
    }

    /// The root in both ways: by the kernel, and by walking.
    fn roots(&self) -> [Root; 2] {
        let root = self.path("root");
        let root = root.to_str().expect("UTF-8");
        [Root::open(root).expect("root"), Root::open_walking(root).expect("root")]
    }

    fn secret(&self) -> String {
        fs::read_to_string(self.path("outside/secret")).expect("secret")
    }
}

impl Drop for Yard {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).expect("folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const ALL: u64 = 1 << 20;

#[test]
fn nothing_outside_is_read_written_or_listed_by_any_way_out() {
    let yard = Yard::new();
    symlink(yard.path("outside"), yard.path("root/folder-link")).expect("link");
    symlink(yard.path("outside/secret"), yard.path("root/file-link")).expect("link");
    symlink("../outside/secret", yard.path("root/relative-link")).expect("link");
    symlink("/proc/self/root", yard.path("root/magic-link")).expect("link");
    symlink("sub", yard.path("root/inner-link")).expect("link");
    symlink(yard.path("outside/new"), yard.path("root/dangling-link")).expect("link");
    let absolute = yard.path("outside/secret");
    let magic = format!("magic-link{}", absolute.display());
    for root in yard.roots() {
        for path in [
            "folder-link/secret",
            "file-link",
            "relative-link",
            "../outside/secret",
            "sub/../../outside/secret",
            "inner-link/../../outside/secret",
            "dangling-link",
            "folder-link/new",
            &magic,
            absolute.to_str().expect("UTF-8"),
            "",
            "/",
            "sub//plain",
        ] {
            let read = read(&root, path, 0, ALL);
            assert!(!read.is_ok && !read.text.contains("secret\n"), "{path}: {}", read.text);
            let wrote = write(&root, path, "gotcha", false);
            assert!(!wrote.is_ok, "{path}: {}", wrote.text);
            assert!(!write(&root, path, "gotcha", true).is_ok, "{path}");
        }
        for path in ["folder-link", "magic-link", "inner-link", "..", "/", "sub/../.."] {
            assert!(!list(&root, path).is_ok, "{path}");
        }
        assert_eq!(yard.secret(), "secret");
        assert_eq!(names(&yard.path("outside")), ["secret"]);
        assert!(read(&root, "plain", 0, ALL).is_ok, "and what is inside is still there");
    }
}

#[test]
fn a_folder_that_is_swapped_for_a_link_again_and_again_never_lets_out() {
    let yard = Yard::new();
    fs::write(yard.path("root/sub/secret"), "inside").expect("file");
    let (sub, kept, link) = (yard.path("root/sub"), yard.path("root/kept"), yard.path("root/link"));
    symlink(yard.path("outside"), &link).expect("link");
    let over = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_over = std::sync::Arc::clone(&over);
    let swapper = std::thread::Builder::new().spawn(move || {
        while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
            let _ = fs::rename(&sub, &kept).and_then(|()| fs::rename(&link, &sub));
            let _ = fs::rename(&sub, &link).and_then(|()| fs::rename(&kept, &sub));
        }
    });
    let (mut inside, mut refused) = (0, 0);
    for root in yard.roots() {
        // On a busy machine the swapper may stand still for thousands of reads.
        let mut rounds = 0;
        while rounds < 2_000 || (rounds < 2_000_000 && (inside == 0 || refused == 0)) {
            let result = read(&root, "sub/secret", 0, ALL);
            assert_ne!(result.text, "secret");
            *(if result.is_ok { &mut inside } else { &mut refused }) += 1;
            rounds += 1;
            if rounds > 2_000 {
                std::thread::yield_now();
            }
        }
        for _ in 0..200 {
            write(&root, "sub/secret", "inside", false);
        }
    }
    over.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.expect("thread").join().expect("swapper");
    assert_eq!((yard.secret().as_str(), names(&yard.path("outside"))), ("secret", vec!["secret".to_owned()]));
    assert!(inside > 0 && refused > 0, "both were met: {inside} {refused}");
}

#[test]
fn only_regular_files_are_opened() {
    let yard = Yard::new();
    rustix::fs::mknodat(rustix::fs::CWD, yard.path("root/fifo"), FileType::Fifo, Mode::RWXU, 0)
        .expect("fifo");
    let _socket = std::os::unix::net::UnixListener::bind(yard.path("root/socket")).expect("socket");
    for root in yard.roots() {
        for name in ["fifo", "socket"] {
            let result = read(&root, name, 0, ALL);
            assert!(!result.is_ok && result.text.contains("not a regular file"), "{}", result.text);
            assert!(!write(&root, name, "x", false).is_ok && !write(&root, name, "x", true).is_ok);
        }
        assert!(read(&root, "sub", 0, ALL).text.contains("it is a folder"));
        assert!(write(&root, "sub", "x", false).text.contains("it is a folder"));
        assert!(write(&root, ".", "x", false).text.contains("it is a folder"));
        assert!(read(&root, "gone", 0, ALL).text.contains("no such file"));
    }
}

#[test]
fn a_long_file_is_read_in_parts_that_say_where_they_are() {
    let yard = Yard::new();
    fs::write(yard.path("root/long"), "aé".repeat(4_000)).expect("file");
    let [root, _] = yard.roots();
    let first = read(&root, "long", 0, 5).text;
    assert_eq!(first, "aéa\n[bytes 0 to 4 of 12000; go on with the second as offset]");
    assert_eq!(read(&root, "long", 11_997, 100).text, "aé\n[bytes 11997 to 12000 of 12000]");
    assert_eq!(read(&root, "long", 20_000, 100).text, "\n[bytes 20000 to 20000 of 12000]");
    assert!(read(&root, "long", 1 << 53, 100).is_ok);
    assert_eq!(read(&root, "long", 0, ALL).text.len(), 12_000);
    fs::write(yard.path("root/binary"), b"a\xff\xfeb").expect("file");
    let text = read(&root, "binary", 0, ALL).text;
    assert_eq!(text, "a\u{fffd}\u{fffd}b\n[bytes that are not UTF-8 are shown as \u{fffd}]");
    fs::write(yard.path("root/empty"), "").expect("file");
    assert_eq!(read(&root, "empty", 0, ALL).text, "[the file is empty]");
}

#[test]
fn a_file_is_replaced_or_grows_and_nothing_is_left_beside_it() {
    let yard = Yard::new();
    let mode = |name: &str| fs::metadata(yard.path(name)).expect("file").permissions().mode() & 0o7777;
    for root in yard.roots() {
        assert_eq!(write(&root, "sub/new", "one\n", false).text, "4 bytes written; sub/new has 4 bytes");
        assert_eq!(mode("root/sub/new"), 0o600);
        fs::set_permissions(yard.path("root/sub/new"), fs::Permissions::from_mode(0o4755)).expect("mode");
        assert_eq!(write(&root, "sub/new", "two\n", true).text, "4 bytes written; sub/new has 8 bytes");
        assert_eq!(fs::read_to_string(yard.path("root/sub/new")).expect("file"), "one\ntwo\n");
        assert_eq!(mode("root/sub/new"), 0o755, "what a file may be done with stays, but for setuid");
        assert_eq!(names(&yard.path("root/sub")), ["deep", "new"]);
        fs::remove_file(yard.path("root/sub/new")).expect("file");
        let much = "x".repeat(WRITTEN_BYTES_MAX);
        assert!(write(&root, "sub/new", &much, false).is_ok);
        let refused = write(&root, "sub/new", "y", true);
        assert!(refused.text.contains("more than"), "{}", refused.text);
        assert_eq!(fs::metadata(yard.path("root/sub/new")).expect("file").len(), WRITTEN_BYTES_MAX as u64);
        assert_eq!(names(&yard.path("root/sub")), ["deep", "new"]);
        assert!(write(&root, "none/new", "x", false).text.contains("no such file or folder"));
        fs::remove_file(yard.path("root/sub/new")).expect("file");
    }
}

#[test]
fn a_file_with_two_names_changes_under_one_only() {
    let yard = Yard::new();
    fs::hard_link(yard.path("outside/secret"), yard.path("root/twin")).expect("link");
    let [root, _] = yard.roots();
    assert!(write(&root, "twin", "changed", true).is_ok);
    assert_eq!(yard.secret(), "secret");
    assert_eq!(read(&root, "twin", 0, ALL).text, "secretchanged");
}

#[test]
fn a_folder_is_listed_by_name_and_bounded() {
    let yard = Yard::new();
    symlink("/etc/passwd", yard.path("root/sub/link")).expect("link");
    fs::write(yard.path("root/sub/a\nfile 9 b"), "12345").expect("file");
    for root in yard.roots() {
        assert_eq!(list(&root, "sub").text, "file 5 \"a\\nfile 9 b\"\nfolder - deep\nlink - link\n");
        assert_eq!(list(&root, "sub/deep").text, "[the folder is empty]");
        assert!(list(&root, ".").text.contains("file 6 plain\n"));
    }
    for number in 0..LISTED_ENTRIES_MAX + 7 {
        fs::write(yard.path(&format!("root/sub/deep/{number:04}")), "").expect("file");
    }
    let [root, _] = yard.roots();
    let text = list(&root, "sub/deep").text;
    assert!(text.starts_with("file 0 0000\nfile 0 0001\n"));
    assert!(text.ends_with("file 0 0499\n[7 more entries left out]"), "{}", &text[text.len() - 60..]);
}

#[test]
fn the_root_is_made_if_it_is_missing_and_is_nobody_elses() {
    let yard = Yard::new();
    let path = yard.path("made");
    let root = Root::open(path.to_str().expect("UTF-8")).expect("root");
    assert_eq!(fs::metadata(&path).expect("folder").permissions().mode() & 0o777, 0o700);
    assert!(write(&root, "a", "b", false).is_ok);
    assert!(Root::open(yard.path("outside/secret").to_str().expect("UTF-8")).is_err());
}
