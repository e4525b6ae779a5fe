//! What the user typed behind `nsrun drop`; opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::limits::Limit;
use super::{capabilities, user};
use crate::values::yes_no;

/// `nsrun drop`
#[derive(Debug, Args)]
#[command(override_usage = "nsrun drop [-P FILE] [OPTIONS] [--] [CMD...]")]
#[command(after_help = "Example: nsrun drop --user 1000 --caps net_bind_service -- id")]
pub(crate) struct DropArgs {
    /// What is not given here, the record in FILE says; CMD too
    #[arg(short = 'P', long = "pod", value_name = "FILE")]
    pub(crate) pod: Option<PathBuf>,
    /// Who CMD is: numbers, or names of /etc/passwd and /etc/group
    #[arg(long, value_name = "UID[:GID[,...]]", allow_negative_numbers = true)]
    pub(crate) user: Option<user::Request>,
    /// Capabilities left; or docker, podman, all, keep [default: none]
    #[arg(long, value_name = "LIST")]
    pub(crate) caps: Option<capabilities::Request>,
    /// Profile in docker's format, default, or none [default: default]
    #[arg(long, value_name = "FILE")]
    pub(crate) seccomp: Option<PathBuf>,
    /// Whether no exec brings a privilege back [default: yes]
    #[arg(long, value_name = "yes|no", num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_parser = yes_no)]
    pub(crate) no_new_privs: Option<bool>,
    /// AppArmor's profile of CMD
    #[arg(long, value_name = "PROFILE")]
    pub(crate) apparmor_profile: Option<String>,
    /// SELinux's label of CMD
    #[arg(long, value_name = "LABEL")]
    pub(crate) selinux_label: Option<String>,
    /// A resource limit: nofile=1024:4096 (may be repeated)
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) rlimit: Vec<Limit>,
    /// When memory runs out, how early CMD is ended; 1000 is first
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-1000..=1000))]
    pub(crate) oom_score_adj: Option<i32>,
    /// Permissions that new files do not get [default: 022]
    #[arg(long, value_name = "MODE", value_parser = octal)]
    pub(crate) umask: Option<u32>,
    /// A variable; without a value the caller's (may be repeated)
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = clap::builder::OsStringValueParser::new())]
    pub(crate) env: Vec<OsString>,
    /// Keep the caller's environment
    #[arg(long)]
    pub(crate) keep_env: bool,
    /// Leave this descriptor open (may be repeated)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(3..))]
    pub(crate) keep_fd: Vec<i32>,
    /// Print what CMD would be, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// As one JSON object on one line, with --dry-run
    #[arg(long, requires = "dry_run")]
    pub(crate) json: bool,
    /// Say each step as it is done, with its system call
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// What to run
    #[arg(trailing_var_arg = true, value_name = "CMD")]
    pub(crate) command: Vec<OsString>,
}

/// A mode as umask(1) takes it.
fn octal(text: &str) -> Result<u32, String> {
    let is_octal = !text.is_empty() && text.bytes().all(|byte| (b'0'..b'8').contains(&byte));
    let mode = u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| is_octal && *mode <= 0o777);
    mode.ok_or_else(|| format!("{text:?} is no mode (000 to 777)"))
}
