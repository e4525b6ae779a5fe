//! What shells complete: files made from the command lines themselves, kept in the repository, compared in each tool's own tests.

use std::{env, fs};

use clap::{Command, ValueHint};
use clap_complete::{Shell, generate};

use crate::repository;

/// The files of `command` in `packaging/completions` are what its command line says; with `CHROOT0_WRITE=1` they become it.
///
/// # Panics
/// They are not, or the command line contradicts itself.
#[track_caller]
pub fn are_up_to_date(command: Command) {
    let name = command.get_name().to_owned();
    let mut command = with_hints(command);
    command.clone().debug_assert();
    let dir = repository("packaging/completions");
    for (shell, file) in [
        (Shell::Bash, name.clone()),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ] {
        let path = dir.join(shell.to_string()).join(file);
        let mut made = Vec::new();
        generate(shell, &mut command, &name, &mut made);
        if env::var_os("CHROOT0_WRITE").is_some() {
            fs::create_dir_all(path.parent().expect("it has one")).expect("a directory of ours");
            fs::write(&path, &made).expect("a file of ours");
        }
        let kept = fs::read(&path).unwrap_or_default();
        assert!(
            kept == made,
            "{} is not what {name} --help says: CHROOT0_WRITE=1 cargo test -p {name} completions",
            path.display()
        );
    }
}

/// What follows the options of a chain is a command line.
fn with_hints(command: Command) -> Command {
    command
        .mut_args(|argument| {
            if argument.is_trailing_var_arg_set() {
                argument.value_hint(ValueHint::CommandWithArguments)
            } else {
                argument
            }
        })
        .mut_subcommands(with_hints)
}
