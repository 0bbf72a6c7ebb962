//! `service`: the agent as a service of the machine, for a program that was copied here by hand.
//!
//! `Machine` is what was found, a plan is a list of steps, and only `Step::take` changes anything. The files are the
//! packages' own, with the program's place put in.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

use super::out::{Exit, Failure, Out};

const UNIT: &str = include_str!("../../packaging/systemd/chainbot.service");
const OPENRC: &str = include_str!("../../packaging/openrc/chainbot.initd");
const SYSV: &str = include_str!("../../packaging/sysv/chainbot");

/// Where a package puts the program, and what the packaged files name.
const PACKAGED: &str = "/usr/bin/chainbot";
/// Where it is put by hand.
const PROGRAM: &str = "/usr/local/bin/chainbot";
const CONFIG_DIR: &str = "/etc/chainbot";
const CONFIG: &str = "/etc/chainbot/config.toml";
const STATE: &str = "/var/lib/chainbot";
const UNIT_FILE: &str = "/etc/systemd/system/chainbot.service";
const SCRIPT_FILE: &str = "/etc/init.d/chainbot";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Init {
    Systemd,
    OpenRc,
    Sysv,
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Systemd => "systemd",
            Self::OpenRc => "OpenRC",
            Self::Sysv => "SysV init",
        })
    }
}

impl Init {
    fn find() -> Option<Self> {
        let is = |path| Path::new(path).exists();
        if is("/run/systemd/system") {
            Some(Self::Systemd)
        } else if is("/run/openrc") || is("/sbin/openrc-run") {
            Some(Self::OpenRc)
        } else if is("/etc/init.d") {
            Some(Self::Sysv)
        } else {
            None
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Systemd => UNIT_FILE,
            Self::OpenRc | Self::Sysv => SCRIPT_FILE,
        }
    }
}

/// What a plan depends on.
#[derive(Debug)]
struct Machine {
    init: Init,
    /// This program's own path.
    own: String,
    has_config: bool,
    has_user: bool,
    /// `useradd` is there; else BusyBox's `adduser`.
    has_useradd: bool,
    has_update_rc: bool,
}

impl Machine {
    fn look() -> Result<Self, Failure> {
        let Some(init) = Init::find() else {
            return Err(Failure::new(Exit::Unavailable, "there is no systemd, OpenRC or SysV init here"));
        };
        let own = std::env::current_exe().map(|path| path.display().to_string());
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let is = |path| Path::new(path).exists();
        Ok(Self {
            init,
            own: own.map_err(|error| Failure::new(Exit::Io, format_args!("own path: {error}")))?,
            has_config: is(CONFIG),
            has_user: users.lines().any(|line| line.starts_with("chainbot:")),
            has_useradd: is("/usr/sbin/useradd"),
            has_update_rc: is("/usr/sbin/update-rc.d"),
        })
    }
}

/// One thing to do. Its text is what people read, before it is done.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Dir(&'static str),
    Copy(String, &'static str),
    Write(&'static str, String, u32),
    Remove(&'static str),
    Run(&'static str),
    /// As `Run`, but a failure is no reason to stop: what it undoes may be undone already.
    Try(&'static str),
    Note(String),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dir(path) => write!(f, "make the folder {path}"),
            Self::Copy(from, to) => write!(f, "copy {from} to {to}"),
            Self::Write(path, text, mode) => write!(f, "write {path} ({} bytes, mode {mode:o})", text.len()),
            Self::Remove(path) => write!(f, "remove {path}"),
            Self::Run(line) | Self::Try(line) => write!(f, "run {line}"),
            Self::Note(text) => f.write_str(text),
        }
    }
}

impl Step {
    fn take(&self) -> io::Result<()> {
        match self {
            Self::Dir(path) => fs::create_dir_all(path),
            Self::Copy(from, to) => {
                replace(Path::new(to), 0o755, |file| io::copy(&mut fs::File::open(from)?, file).map(drop))
            }
            Self::Write(path, text, mode) => {
                replace(Path::new(path), *mode, |file| file.write_all(text.as_bytes()))
            }
            Self::Remove(path) => match fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result,
            },
            Self::Run(line) => run(line),
            Self::Try(line) => {
                let _ = run(line);
                Ok(())
            }
            Self::Note(_) => Ok(()),
        }
    }
}

/// A new file takes the old one's place at once and whole; a program that runs keeps its own.
fn replace(path: &Path, mode: u32, fill: impl FnOnce(&mut fs::File) -> io::Result<()>) -> io::Result<()> {
    let fresh = path.with_extension("new-chainbot");
    let _ = fs::remove_file(&fresh);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    fill(&mut file)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}

fn run(line: &str) -> io::Result<()> {
    let mut words = line.split(' ');
    let status = Command::new(words.next().unwrap_or_default()).args(words).stdin(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("ended with {status}"))) }
}

/// Makes this program a service, or says how.
pub fn install(is_dry: bool, out: &mut Out) -> Result<(), Failure> {
    if Path::new(PACKAGED).exists() {
        let why = format_args!("{PACKAGED} is there: a package brought the program, and its service with it");
        return Err(Failure::new(Exit::CantCreate, why));
    }
    let machine = Machine::look()?;
    out.line(format_args!("{} runs here.", machine.init))?;
    carry_out(&install_plan(&machine), is_dry, out)
}

/// Undoes `install`.
pub fn uninstall(is_dry: bool, out: &mut Out) -> Result<(), Failure> {
    let machine = Machine::look()?;
    if !Path::new(machine.init.file()).exists() {
        let why = format_args!("{} is not there: nothing was installed by hand", machine.init.file());
        return Err(Failure::new(Exit::Unavailable, why));
    }
    if Path::new(PACKAGED).exists() {
        return Err(Failure::new(Exit::CantCreate, "a package brought the service: remove the package"));
    }
    carry_out(&uninstall_plan(&machine), is_dry, out)
}

/// Asks the init system.
pub fn status(out: &mut Out) -> Result<(), Failure> {
    let init = Machine::look()?.init;
    let line = match init {
        Init::Systemd => "systemctl is-active --quiet chainbot",
        Init::OpenRc => "rc-service -q chainbot status",
        Init::Sysv => "/etc/init.d/chainbot status",
    };
    let is_running = Command::new("sh")
        .args(["-c", &format!("{line} >/dev/null 2>&1")])
        .status()
        .is_ok_and(|status| status.success());
    if is_running {
        return out.line(format_args!("{init} runs the service chainbot."));
    }
    Err(Failure::new(Exit::Unavailable, format_args!("{init} does not run a service chainbot")))
}

fn carry_out(plan: &[Step], is_dry: bool, out: &mut Out) -> Result<(), Failure> {
    for step in plan {
        out.line(step)?;
        out.flush()?;
        if !is_dry {
            step.take().map_err(|error| Failure::new(Exit::CantCreate, format_args!("{step}: {error}")))?;
        }
    }
    if is_dry {
        out.line("Nothing was changed.")?;
    }
    Ok(())
}

fn install_plan(machine: &Machine) -> Vec<Step> {
    let mut plan = Vec::new();
    if machine.own != PROGRAM {
        plan.push(Step::Copy(machine.own.clone(), PROGRAM));
    }
    if machine.has_config {
        plan.push(Step::Note(format!("keep {CONFIG}")));
    } else {
        plan.push(Step::Dir(CONFIG_DIR));
        plan.push(Step::Write(CONFIG, crate::config::REFERENCE.to_owned(), 0o644));
    }
    if machine.init != Init::Systemd && !machine.has_user {
        plan.extend(add_user(machine.has_useradd));
    }
    let (text, mode) = match machine.init {
        Init::Systemd => (UNIT, 0o644),
        Init::OpenRc => (OPENRC, 0o755),
        Init::Sysv => (SYSV, 0o755),
    };
    plan.push(Step::Write(machine.init.file(), text.replace(PACKAGED, PROGRAM), mode));
    match machine.init {
        Init::Systemd => plan.extend(["systemctl daemon-reload", "systemctl enable chainbot"].map(Step::Run)),
        Init::OpenRc => plan.push(Step::Run("rc-update add chainbot default")),
        Init::Sysv if machine.has_update_rc => plan.push(Step::Run("update-rc.d chainbot defaults")),
        Init::Sysv => plan.push(Step::Note(format!("link {SCRIPT_FILE} where your init looks at its start"))),
    }
    plan.push(Step::Run(match machine.init {
        Init::Systemd => "systemctl restart chainbot",
        Init::OpenRc => "rc-service chainbot restart",
        Init::Sysv => "/etc/init.d/chainbot restart",
    }));
    plan
}

fn add_user(has_useradd: bool) -> Vec<Step> {
    if has_useradd {
        let line = "useradd --system --user-group --no-create-home --home-dir /var/lib/chainbot --shell /bin/false chainbot";
        return vec![Step::Run(line)];
    }
    vec![
        Step::Try("addgroup -S chainbot"),
        Step::Run("adduser -S -D -H -h /var/lib/chainbot -s /bin/false -G chainbot chainbot"),
    ]
}

fn uninstall_plan(machine: &Machine) -> Vec<Step> {
    let mut plan: Vec<_> = match machine.init {
        Init::Systemd => vec![Step::Try("systemctl disable --now chainbot")],
        Init::OpenRc => {
            vec![Step::Try("rc-service chainbot stop"), Step::Try("rc-update del chainbot default")]
        }
        Init::Sysv => vec![Step::Try("/etc/init.d/chainbot stop")],
    };
    plan.push(Step::Remove(machine.init.file()));
    match machine.init {
        Init::Systemd => plan.push(Step::Run("systemctl daemon-reload")),
        Init::Sysv if machine.has_update_rc => plan.push(Step::Run("update-rc.d chainbot remove")),
        Init::OpenRc | Init::Sysv => {}
    }
    plan.push(Step::Remove(PROGRAM));
    plan.push(Step::Note(format!("keep {CONFIG_DIR} and {STATE}")));
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(init: Init) -> Machine {
        Machine {
            init,
            own: "/root/chainbot".to_owned(),
            has_config: false,
            has_user: false,
            has_useradd: true,
            has_update_rc: true,
        }
    }

    fn text(plan: &[Step]) -> String {
        plan.iter().map(|step| format!("{step}\n")).collect()
    }

    #[test]
    fn each_init_system_gets_its_own_file_that_names_the_copied_program() {
        for (init, file) in
            [(Init::Systemd, UNIT_FILE), (Init::OpenRc, SCRIPT_FILE), (Init::Sysv, SCRIPT_FILE)]
        {
            let plan = install_plan(&machine(init));
            let written = plan.iter().find_map(|step| match step {
                Step::Write(path, text, _) if *path == file => Some(text),
                _ => None,
            });
            let written = written.expect("a file for the init system");
            assert!(written.contains(PROGRAM) && !written.contains(PACKAGED), "{init}");
            assert_eq!(text(&plan).contains("useradd"), init != Init::Systemd, "systemd makes its own user");
            let undone = uninstall_plan(&machine(init));
            assert!(undone.contains(&Step::Remove(file)) && undone.contains(&Step::Remove(PROGRAM)));
            assert!(
                !undone.iter().any(|step| matches!(step, Step::Remove(path) if path.starts_with(CONFIG_DIR)))
            );
        }
    }

    #[test]
    fn what_is_there_is_kept() {
        let there =
            Machine { own: PROGRAM.to_owned(), has_config: true, has_user: true, ..machine(Init::OpenRc) };
        let text = text(&install_plan(&there));
        assert!(text.contains("keep /etc/chainbot/config.toml\n"), "{text}");
        for change in ["copy", "useradd", "write /etc/chainbot"] {
            assert!(!text.contains(change), "{text}");
        }
    }

    #[test]
    fn a_small_system_is_asked_in_its_own_words() {
        let small = Machine { has_useradd: false, has_update_rc: false, ..machine(Init::Sysv) };
        let text = text(&install_plan(&small));
        assert!(text.contains("run adduser -S ") && text.contains("link /etc/init.d/chainbot"), "{text}");
    }

    #[test]
    fn a_written_file_is_whole_and_has_its_mode() {
        let path = std::env::temp_dir().join(format!("chainbot-service-{}", std::process::id()));
        for text in ["first", "second"] {
            replace(&path, 0o751, |file| file.write_all(text.as_bytes())).expect("written");
            assert_eq!(fs::read_to_string(&path).expect("readable"), text);
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o751);
        }
        fs::remove_file(&path).expect("ours");
    }
}
