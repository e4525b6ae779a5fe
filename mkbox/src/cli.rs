//! What the user typed; opens nothing.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use record::{Id, SchemaArgs, SourceArgs};

use crate::bundles::Bundle;
use crate::dlopen::Priority;
use crate::mount_args::MountArgs;
use crate::pack::Format;

/// Makes, enters and removes a root filesystem: programs with exactly the libraries they need.
#[derive(Debug, Parser)]
#[command(
    name = "mkbox",
    version,
    after_help = "Example:\n  mkbox up --copy ls box >box.json; mkbox exec box -- ls; mkbox down box"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) schema: SchemaArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The four of every tool, and its own.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Verb {
    /// Make a box and fill it: a record in (or BOX), a record out
    Up(Box<UpArgs>),
    /// Run CMD with the box as its root, in a mount namespace of its own
    Exec(ExecArgs),
    /// Tell what is in a box, what will be mounted there, and who runs in it
    Show(ShowArgs),
    /// Remove a box: records in, records out
    Down(DownArgs),
    /// Tell what this kernel, user and file system allow, what is missing and how to get it
    Check(CheckArgs),
    /// Compare a box with its manifest: what is missing, changed or extra
    Verify(VerifyArgs),
    /// Write a box out: a directory, a tar or a cpio archive, the same bytes each time
    Pack(PackArgs),
}

/// `mkbox up`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox up [--copy PROG,...] [--proc] [--bind SRC:DST[:ro]] [--tmpfs DST] [OPTIONS] BOX\n       \
                            mkbox up -P FILE [OPTIONS] [BOX]"
)]
#[command(after_help = "Example: mkbox up --copy sh,ls --proc --tmpfs /tmp box >box.json")]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Copy these programs, with their libraries, into the box
    #[arg(long, value_name = "PROG", value_delimiter = ',', value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) copy: Vec<String>,
    /// Begin with a directory, a tar (plain, gzip, zstd) or an OCI layout
    #[arg(long, value_name = "PATH")]
    pub(crate) from: Option<PathBuf>,
    /// The image's name in the OCI layout
    #[arg(long = "ref", value_name = "NAME", requires = "from")]
    pub(crate) reference: Option<String>,
    /// Take along nss, locale, terminfo, certs, tz, or a file by its path
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) with: Vec<Bundle>,
    /// Take libraries programs open, if so needed [default: required]
    #[arg(long, value_name = "NEED", value_enum, hide_possible_values = true, hide_default_value = true, default_value_t = Priority::Required)]
    pub(crate) dlopen: Priority,
    /// Take the files of another machine, which are below DIR
    #[arg(long, value_name = "DIR")]
    pub(crate) sysroot: Option<PathBuf>,
    /// Make /bin, /sbin and /lib links to those in /usr
    #[arg(long)]
    pub(crate) merged_usr: bool,
    /// Keep owners, set-ID bits and file capabilities of what is copied
    #[arg(long)]
    pub(crate) keep_privileges: bool,
    #[command(flatten)]
    pub(crate) mounts: MountArgs,
    /// Print the plan to stdout and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not say what the box may lack, and which rights were dropped
    #[arg(short, long)]
    pub(crate) quiet: bool,
    /// Print each file as it is copied
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Directory to make; its name names the record [default: the record's root.path]
    #[arg(value_name = "BOX")]
    pub(crate) root: Option<String>,
}

/// `mkbox exec`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox exec [-v] [-w DIR] BOX [--] [CMD...]\n       mkbox exec [-v] [-w DIR] -P FILE [--] [CMD...]"
)]
#[command(after_help = "Example: mkbox exec box -- ls /")]
pub(crate) struct ExecArgs {
    /// Enter the box of the record in FILE
    #[arg(short = 'P', long = "pod", value_name = "FILE")]
    pub(crate) pod: Option<PathBuf>,
    /// Begin in DIR, a path in the box [default: the record's process.cwd, else /]
    #[arg(short, long, value_name = "DIR")]
    pub(crate) wd: Option<PathBuf>,
    /// Print the steps to stdout and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print each step as it is done
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The box, unless -P names one, and what to run in it [default: $SHELL, else /bin/sh]
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "BOX CMD"
    )]
    pub(crate) words: Vec<OsString>,
}

impl ExecArgs {
    /// BOX and CMD.
    pub(crate) fn split(&self) -> (Option<&OsString>, &[OsString]) {
        let (root, command) = match (&self.pod, self.words.split_first()) {
            (None, Some((root, command))) => (Some(root), command),
            _ => (None, &self.words[..]),
        };
        let command = match command.split_first() {
            Some((dashes, rest)) if dashes == "--" => rest,
            _ => command,
        };
        (root, command)
    }
}

/// `mkbox show`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox show [--json] [--tree | --why FILE | --manifest [--sha256]] BOX\n       \
                      mkbox show [OPTIONS] [--id ID | -P FILE]"
)]
#[command(after_help = "Example: mkbox show --why ls box")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Print one JSON object a line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Print every file with its size
    #[arg(long)]
    pub(crate) tree: bool,
    /// Print what brought FILE, a path in the box or a name, into it
    #[arg(long, value_name = "FILE", conflicts_with = "tree")]
    pub(crate) why: Option<String>,
    /// Print the manifest: what was put into the box, as JSON
    #[arg(long, conflicts_with_all = ["tree", "why"])]
    pub(crate) manifest: bool,
    /// With --manifest: add the SHA-256 sums of the files as they are now
    #[arg(long, requires = "manifest")]
    pub(crate) sha256: bool,
    /// The box to show
    #[arg(value_name = "BOX", conflicts_with_all = ["id", "pod"])]
    pub(crate) root: Option<String>,
}

/// `mkbox down`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox down [-v] [--keep DIR]... BOX\n       mkbox down [-v] [--keep DIR]... [--id ID | -P FILE]"
)]
#[command(after_help = "Example: mkbox down box")]
pub(crate) struct DownArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// Leave DIR, a path in the box, where it is
    #[arg(long, value_name = "DIR", value_parser = inside)]
    pub(crate) keep: Vec<String>,
    /// Print what would be removed and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Print each step as it is done
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The box to remove
    #[arg(value_name = "BOX", conflicts_with_all = ["id", "pod"])]
    pub(crate) root: Option<String>,
}

/// `mkbox check`
#[derive(Debug, Args)]
#[command(after_help = "Example: mkbox check box")]
pub(crate) struct CheckArgs {
    /// Print one JSON object on one line instead of a table
    #[arg(long)]
    pub(crate) json: bool,
    /// Where the box is or would be [default: the current directory]
    #[arg(value_name = "BOX")]
    pub(crate) root: Option<String>,
}

/// A path in a box, with or without a slash before it.
fn inside(path: &str) -> Result<String, String> {
    let relative = path.trim_start_matches('/').trim_end_matches('/');
    if crate::extra::is_inside(relative) {
        return Ok(relative.to_owned());
    }
    Err(format!("{path:?} is no path in the box without \"..\""))
}

/// `mkbox verify`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox verify [--json] [--manifest FILE] BOX\n       mkbox verify [OPTIONS] [--id ID | -P FILE]"
)]
#[command(after_help = "Example: mkbox verify box")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// What `mkbox show --manifest` printed [default: that beside the box]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// The box to verify
    #[arg(value_name = "BOX", conflicts_with_all = ["id", "pod"])]
    pub(crate) root: Option<String>,
}

/// `mkbox pack`
#[derive(Debug, Args)]
#[command(
    override_usage = "mkbox pack [--format FORMAT] [--gzip] --output OUT BOX\n       mkbox pack [OPTIONS] --output OUT [--id ID | -P FILE]"
)]
#[command(after_help = "Example: mkbox pack --output box.tar.gz box")]
pub(crate) struct PackArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,
    /// What to write: a new or empty directory, an archive; `-` is stdout
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: PathBuf,
    /// dir, tar or cpio [default: as OUT ends: .tar, .tar.gz, .cpio, ...]
    #[arg(long, value_enum, hide_possible_values = true, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Compress the archive
    #[arg(short = 'z', long)]
    pub(crate) gzip: bool,
    /// Print what would be written and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The box to pack
    #[arg(value_name = "BOX", conflicts_with_all = ["id", "pod"])]
    pub(crate) root: Option<String>,
}

/// The record's name of a box at `path`: its last component.
pub(crate) fn id_of(path: &str) -> Result<Id, String> {
    let shown = || crate::text::short(std::path::Path::new(path));
    let name = std::path::Path::new(path)
        .file_name()
        .and_then(|name| name.to_str());
    let name = name.ok_or_else(|| format!("BOX {:?} does not end in a name", shown()))?;
    name.parse()
        .map_err(|problem| format!("BOX {:?}: {problem}; name the record with --id ID", shown()))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn completions_are_those_of_the_command_line() {
        ::tests::completions::are_up_to_date(Cli::command());
    }
}
