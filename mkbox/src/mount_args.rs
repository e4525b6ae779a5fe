//! The options of `up` that say what is mounted in a box, and what lies under it.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use crate::etc::File;
use crate::flags::{BindFlag, Flags, ProcFlag, TmpfsFlag, VolumeFlag};
use crate::mount_flag::MountFlag;

/// Part of `mkbox up`'s.
#[derive(Debug, Args)]
pub(crate) struct MountArgs {
    /// Show these programs in it: bound read-only, nothing is copied
    #[arg(long, value_name = "PROG,...", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub(crate) bind_programs: Vec<String>,
    /// A writable layer above these directories, the first on top
    #[arg(long, value_name = "LOWER[:LOWER]", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) overlay: Vec<String>,
    /// Keep that layer in memory, and throw it away when CMD ends
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Write these files below /etc: passwd,group,hosts... [default: all]
    #[arg(long, value_name = "FILE,...", value_delimiter = ',', num_args = 0..=1, require_equals = true, default_missing_value = "passwd,group,hosts,hostname,resolv.conf,nsswitch.conf")]
    pub(crate) etc: Vec<File>,
    /// Mount proc on /proc when the box is entered
    #[arg(long, value_name = "OPTION,...", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) proc: Option<ProcFlag>,
    /// Mount sysfs on /sys, read-only
    #[arg(long)]
    pub(crate) sys: bool,
    /// Mount the groups that CMD is in on /sys/fs/cgroup, read-only
    #[arg(long)]
    pub(crate) cgroup: bool,
    /// Mount a minimal /dev: null zero full random tty pts shm mqueue ...
    #[arg(long)]
    pub(crate) dev: bool,
    /// Mount SRC on DST when the box is entered; `ro` makes it read-only
    #[arg(long, value_name = "SRC:DST[:OPT]")]
    pub(crate) bind: Vec<BindFlag>,
    /// The same with all mounted below SRC, which is made if missing
    #[arg(long, value_name = "SRC:DST[:OPT]")]
    pub(crate) volume: Vec<VolumeFlag>,
    /// Mount an empty file system in memory on DST
    #[arg(long, value_name = "DST[:OPT]")]
    pub(crate) tmpfs: Vec<TmpfsFlag>,
    /// Mount type=bind|emptyDir|secret|...,source=SRC,target=DST
    #[arg(long, value_name = "KEY=VALUE,...")]
    pub(crate) mount: Vec<MountFlag>,
    /// Hide what container runtimes hide in /proc and /sys
    #[arg(long)]
    pub(crate) mask: bool,
    /// Hide PATH when the box is entered
    #[arg(long, value_name = "PATH", value_parser = inside)]
    pub(crate) mask_path: Vec<String>,
    /// Make PATH read-only when the box is entered
    #[arg(long, value_name = "PATH", value_parser = inside)]
    pub(crate) read_only_path: Vec<String>,
    /// Make the box itself read-only when it is entered
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Make these mounts now, in this mount namespace; down unmounts them
    #[arg(long)]
    pub(crate) host_mounts: bool,
}

fn inside(path: &str) -> Result<String, String> {
    crate::flags::inside(path).map(|()| path.to_owned())
}

impl MountArgs {
    /// Those that are entries of `mounts`.
    pub(crate) fn flags(&self) -> Flags<'_> {
        Flags {
            proc: self.proc.as_ref(),
            sys: self.sys,
            cgroup: self.cgroup,
            dev: self.dev,
            tmpfs: &self.tmpfs,
            mount: &self.mount,
            volume: &self.volume,
            bind: &self.bind,
        }
    }
}
