//! What the user typed about namespaces; opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use record::Namespace;

use crate::id_args::MapArgs;
use crate::offset::{Offset, Offsets};
use crate::values::hostname;

/// The grammar of namespaces, the same for `up` and `exec`.
#[derive(Debug, Default, Args)]
pub(crate) struct NamespaceArgs {
    /// Mount namespace: new; =FILE, =PID or =fd:N joins one, =host: ours
    #[arg(short, long, value_name = "NS", num_args = 0..=1, require_equals = true)]
    mount: Option<Option<OsString>>,
    /// UTS namespace (host name)
    #[arg(short, long, value_name = "NS", num_args = 0..=1, require_equals = true)]
    uts: Option<Option<OsString>>,
    /// IPC namespace
    #[arg(short, long, value_name = "NS", num_args = 0..=1, require_equals = true)]
    ipc: Option<Option<OsString>>,
    /// Network namespace
    #[arg(short, long, value_name = "NS", num_args = 0..=1, require_equals = true)]
    net: Option<Option<OsString>>,
    /// PID namespace; CMD becomes its process 1 when it is new
    #[arg(short, long, value_name = "NS", num_args = 0..=1, require_equals = true)]
    pid: Option<Option<OsString>>,
    /// User namespace
    #[arg(short = 'U', long, value_name = "NS", num_args = 0..=1, require_equals = true)]
    user: Option<Option<OsString>>,
    /// Cgroup namespace
    #[arg(short = 'C', long, value_name = "NS", num_args = 0..=1, require_equals = true)]
    cgroup: Option<Option<OsString>>,
    /// Time namespace
    #[arg(short = 'T', long, value_name = "NS", num_args = 0..=1, require_equals = true)]
    time: Option<Option<OsString>>,
    /// Join those of process PID that are named without a value, or --all
    #[arg(short, long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) target: Option<i32>,
    /// With --target: join every namespace that differs from ours
    #[arg(short, long, requires = "target")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) maps: MapArgs,
    /// Add SECONDS to the monotonic clock; implies --time
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) monotonic: Option<Offset>,
    /// Add SECONDS to the boottime clock; implies --time
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) boottime: Option<Offset>,
    /// Mount a fresh proc at DIR [default: /proc]; implies --mount
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = "/proc")]
    pub(crate) mount_proc: Option<PathBuf>,
    /// Change the root directory to DIR, by chroot(2)
    #[arg(short = 'R', long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Change the working directory to DIR, after everything else
    #[arg(short, long, value_name = "DIR", alias = "wdns", short_alias = 'W')]
    pub(crate) wd: Option<PathBuf>,
    /// Set the host name; implies --uts
    #[arg(long, value_name = "NAME", value_parser = hostname)]
    pub(crate) hostname: Option<String>,
    /// Of all mounts: slave, private, shared, unchanged [default: private]
    #[arg(long, value_name = "HOW", hide_possible_values = true)]
    pub(crate) propagation: Option<Propagation>,
    /// Print the steps in order and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Say each step as it is done, with its system call
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// Whose namespace of a kind it shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Choice {
    /// An option without a value: new, or that of --target.
    Bare,
    /// `=new`
    New,
    /// `=host`: that of the caller.
    Host,
    /// `=PID`
    Process(i32),
    /// `=fd:N`
    Descriptor(i32),
    /// `=FILE`
    File(PathBuf),
}

impl NamespaceArgs {
    /// Of the clocks of a new time namespace.
    pub(crate) fn offsets(&self) -> Offsets {
        Offsets {
            monotonic: self.monotonic,
            boottime: self.boottime,
        }
    }

    /// What the option of `kind` says; None when it is not given.
    pub(crate) fn choice(&self, kind: Namespace) -> Option<Choice> {
        let given = match kind {
            Namespace::Mount => &self.mount,
            Namespace::Network => &self.net,
            Namespace::Pid => &self.pid,
            Namespace::Uts => &self.uts,
            Namespace::Ipc => &self.ipc,
            Namespace::User => &self.user,
            Namespace::Cgroup => &self.cgroup,
            Namespace::Time => &self.time,
        };
        let Some(value) = given.as_ref()? else {
            return Some(Choice::Bare);
        };
        Some(match value.to_str() {
            Some("new") => Choice::New,
            Some("host") => Choice::Host,
            // A file whose name is a number is ./NUMBER.
            Some(text) if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Choice::Process(text.parse().unwrap_or(i32::MAX))
            }
            Some(text) => match text.strip_prefix("fd:").and_then(|fd| fd.parse().ok()) {
                Some(fd) => Choice::Descriptor(fd),
                None => Choice::File(value.into()),
            },
            None => Choice::File(value.into()),
        })
    }
}

/// `--propagation`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Propagation {
    /// Mounts of the caller's namespace arrive, ours do not leave
    Slave,
    /// Neither
    Private,
    /// Both ways
    Shared,
    /// As they are
    Unchanged,
}
