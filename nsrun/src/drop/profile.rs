//! What CMD will be, as data: from the options, else the record, else the hardened default.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use record::Record;
use serde_json::{Value, json};
use sys::{Call, Input};

use super::capabilities::{self, Set, Sets};
use super::cli::DropArgs;
use super::label::{Label, Module};
use super::limits::Limit;
use super::process::Process;
use super::seccomp::Seccomp;
use super::user::User;
use crate::error::Error;

/// Where programs are in every box.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Permissions that new files do not get.
const UMASK: u32 = 0o022;

/// What CMD will be.
#[derive(Debug)]
pub(crate) struct Profile {
    /// None: whoever calls, in his group alone.
    pub(crate) user: Option<User>,
    pub(crate) sets: Sets,
    pub(crate) no_new_privs: bool,
    /// None: every call is left.
    pub(crate) seccomp: Option<Seccomp>,
    /// Of security modules.
    pub(crate) labels: Vec<Label>,
    pub(crate) limits: Vec<Limit>,
    pub(crate) oom_score_adj: Option<i32>,
    pub(crate) umask: u32,
    pub(crate) environment: Vec<(OsString, OsString)>,
    pub(crate) keep_fds: Vec<i32>,
    pub(crate) cwd: Option<PathBuf>,
    pub(crate) command: Vec<OsString>,
}

impl Profile {
    /// Reads what has to be read: afterwards it might not be allowed.
    ///
    /// # Errors
    /// Names that are not there, a profile that does not parse, nothing to run.
    pub(crate) fn new(arguments: &DropArgs, record: Option<&Record>) -> Result<Self, Error> {
        let process = Process(record.and_then(|record| record.pointer("/process")));
        let user = match &arguments.user {
            Some(user) => Some(user.find()?),
            None => process.user()?,
        };
        let uid = user
            .as_ref()
            .map_or_else(|| nix::unistd::geteuid().as_raw(), |user| user.uid);
        let (permitted, _) = capabilities::present().call(|| "capget()".into())?;
        let request = match &arguments.caps {
            Some(request) => request.clone(),
            None => process.capabilities()?,
        };
        let sets = Sets::new(&request, permitted, capabilities::bounded, uid == 0)
            .call(|| "prctl(PR_CAPBSET_READ)".into())?;
        let seccomp = seccomp(arguments, record, sets.bounding)?;
        let limits: Vec<Limit> = [process.limits()?, arguments.rlimit.clone()].concat();
        let command = if arguments.command.is_empty() {
            process.texts("args")?
        } else {
            arguments.command.clone()
        };
        if command.is_empty() {
            return Err(Error::Usage(
                "what to run is missing (CMD, or process.args of the record)".into(),
            ));
        }
        Ok(Self {
            environment: environment(arguments, &process, user.as_ref())?,
            sets,
            no_new_privs: arguments
                .no_new_privs
                .unwrap_or_else(|| process.no_new_privs()),
            seccomp,
            labels: labels(arguments, &process)?,
            limits: Limit::defaults(&limits),
            oom_score_adj: match arguments.oom_score_adj {
                Some(score) => Some(score),
                None => process.number("oomScoreAdj")?.map(|score| score as i32),
            },
            umask: match arguments.umask {
                Some(umask) => umask,
                None => process.umask()?.unwrap_or(UMASK),
            },
            keep_fds: arguments.keep_fd.clone(),
            cwd: process.cwd()?,
            user,
            command,
        })
    }

    fn label(&self, module: Module) -> Option<&str> {
        let label = self.labels.iter().find(|label| label.module == module);
        label.map(|label| label.text.as_str())
    }

    /// As `process` of an OCI configuration, and what became of the filter.
    pub(crate) fn to_json(&self) -> Value {
        let text = |text: &OsStr| text.to_string_lossy().into_owned();
        let variable =
            |(name, value): &(OsString, OsString)| format!("{}={}", text(name), text(value));
        let (uid, gid) = (
            nix::unistd::geteuid().as_raw(),
            nix::unistd::getegid().as_raw(),
        );
        let groups = self
            .user
            .as_ref()
            .map(|user| user.groups.clone())
            .unwrap_or_default();
        let descriptors = [vec![0, 1, 2], self.keep_fds.clone()].concat();
        json!({
            "user": {
                "uid": self.user.as_ref().map_or(uid, |user| user.uid),
                "gid": self.user.as_ref().map_or(gid, |user| user.gid),
                "additionalGids": groups,
                "umask": self.umask,
            },
            "capabilities": self.sets.to_json(),
            "noNewPrivileges": self.no_new_privs,
            "seccomp": self.seccomp.as_ref().map(|seccomp| {
                json!({"profile": seccomp.name, "instructions": seccomp.program.len()})
            }),
            "apparmorProfile": self.label(Module::AppArmor),
            "selinuxLabel": self.label(Module::SeLinux),
            "rlimits": self.limits.iter().map(|limit| limit.to_json()).collect::<Vec<_>>(),
            "oomScoreAdj": self.oom_score_adj,
            "descriptors": descriptors,
            "env": self.environment.iter().map(variable).collect::<Vec<_>>(),
            "cwd": self.cwd,
            "args": self.command.iter().map(|word| text(word)).collect::<Vec<_>>(),
        })
    }
}

fn labels(arguments: &DropArgs, process: &Process<'_>) -> Result<Vec<Label>, Error> {
    let given = [
        (Module::AppArmor, &arguments.apparmor_profile),
        (Module::SeLinux, &arguments.selinux_label),
    ];
    let mut labels = Vec::new();
    for (module, option) in given {
        let label =
            match option {
                Some(text) => Some(Label::new(module, text).ok_or_else(|| {
                    Error::Usage(format!("{}: {text:?} is none", module.option()))
                })?),
                None => process.label(module)?,
            };
        labels.extend(label);
    }
    Ok(labels)
}

/// The filter that the option names, else the record's, else the default.
fn seccomp(
    arguments: &DropArgs,
    record: Option<&Record>,
    capabilities: Set,
) -> Result<Option<Seccomp>, Error> {
    let standard = || {
        Seccomp::standard(capabilities)
            .map(Some)
            .map_err(Error::Failed)
    };
    let recorded = record
        .and_then(|record| record.pointer("/linux/seccomp"))
        .filter(|value| !value.is_null());
    match (&arguments.seccomp, recorded) {
        (Some(name), _) if name == Path::new("none") => Ok(None),
        (Some(name), _) if name == Path::new("default") => standard(),
        (Some(file), _) => {
            let shown = file.display().to_string();
            let text = read_profile(file, &shown)?;
            let value = serde_json::from_slice(&text)
                .map_err(|error| Error::Usage(format!("--seccomp {shown}: no JSON: {error}")))?;
            let seccomp = Seccomp::of_json(&shown, &value, capabilities);
            seccomp
                .map(Some)
                .map_err(|why| Error::Usage(format!("--seccomp {why}")))
        }
        (None, Some(value)) => {
            let seccomp = Seccomp::of_json("linux.seccomp", value, capabilities);
            Ok(Some(seccomp.map_err(record::Error::Record)?))
        }
        (None, None) => standard(),
    }
}

/// Ten times what docker's has.
const MAX_PROFILE: u64 = 1 << 20;

fn read_profile(file: &Path, shown: &str) -> Result<Vec<u8>, Error> {
    let mut text = Vec::new();
    Input::open(file)?
        .take(MAX_PROFILE + 1)
        .read_to_end(&mut text)
        .call(|| format!("read({shown})"))?;
    if text.len() as u64 > MAX_PROFILE {
        return Err(Error::Usage(format!(
            "--seccomp {shown}: larger than 1 MiB, no profile"
        )));
    }
    Ok(text)
}

/// PATH, HOME and TERM, unless more is asked for; later ones win.
fn environment(
    arguments: &DropArgs,
    process: &Process<'_>,
    user: Option<&User>,
) -> Result<Vec<(OsString, OsString)>, Error> {
    let mut all: Vec<(OsString, OsString)> = Vec::new();
    if arguments.keep_env {
        all.extend(std::env::vars_os());
    }
    let home = user.and_then(|user| user.home.clone());
    let term = std::env::var_os("TERM").filter(|_| std::io::stdin().is_terminal());
    let defaults = [
        ("PATH", Some(PATH.into())),
        ("HOME", Some(home.unwrap_or_else(|| "/".into()))),
        ("TERM", term),
    ];
    for (name, value) in defaults {
        let is_there = all.iter().any(|(other, _)| other == name);
        all.extend(
            value
                .filter(|_| !is_there)
                .map(|value| (name.into(), value)),
        );
    }
    let mut set = |name: &OsStr, value: OsString| {
        all.retain(|(other, _)| other != name);
        all.push((name.to_owned(), value));
    };
    for variable in process.texts("env")?.iter().chain(&arguments.env) {
        let bytes = variable.as_bytes();
        let equals = bytes.iter().position(|&byte| byte == b'=');
        let name = OsStr::from_bytes(&bytes[..equals.unwrap_or(bytes.len())]);
        if name.is_empty() {
            let shown = variable.to_string_lossy();
            return Err(Error::Usage(format!("--env: {shown:?} has no name")));
        }
        match equals {
            Some(at) => set(name, OsString::from_vec(bytes[at + 1..].to_vec())),
            None => {
                if let Some(value) = std::env::var_os(name) {
                    set(name, value);
                }
            }
        }
    }
    Ok(all)
}
