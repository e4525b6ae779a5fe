//! A sixth tool, for the tests of the laws that all tools share: what it makes is a file.
//!
//! `mark up|down|show --dir DIR` makes and removes `DIR/ID`; it owns the key `netwire`, because the index keeps only the
//! tools it knows. `--fail` fails after the effect, `--die` is killed after it, `--keep` cannot undo,
//! `--other` wants something else than what is there, `--over` replaces it by something that is undone to it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use record::{Error, Id, SourceArgs};
use serde_json::{Value, json};
use sys::Call;

#[derive(Debug, Parser)]
#[command(name = "mark", version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Up(Options),
    Down(Options),
    Show(Options),
    Exec(ExecOptions),
}

#[derive(Debug, Args)]
struct Options {
    #[command(flatten)]
    source: SourceArgs,
    #[arg(long)]
    dir: PathBuf,
    #[arg(long)]
    fail: bool,
    #[arg(long)]
    die: bool,
    #[arg(long)]
    keep: bool,
    #[arg(long)]
    other: bool,
    #[arg(long)]
    over: bool,
}

#[derive(Debug, Args)]
struct ExecOptions {
    #[arg(short = 'P', long = "pod")]
    pod: PathBuf,
    #[arg(trailing_var_arg = true, required = true)]
    command: Vec<std::ffi::OsString>,
}

const TOOL: &str = "netwire";

fn main() -> ExitCode {
    match record::parse_cli::<Cli>("mark") {
        Ok(Cli {
            verb: Verb::Up(options),
        }) => up(&options),
        Ok(Cli {
            verb: Verb::Down(options),
        }) => record::down::<Error>(TOOL, &options.source, |down| {
            for state in [&down.state, &down.indexed].into_iter().flatten() {
                remove(&options, &down.id, state)?;
            }
            Ok(())
        }),
        Ok(Cli {
            verb: Verb::Show(options),
        }) => record::show::<Error>(TOOL, &options.source, |record| {
            Ok(format!("{}\n", record.id().unwrap_or("?")))
        }),
        Ok(Cli {
            verb: Verb::Exec(options),
        }) => match record::for_exec(&options.pod) {
            Ok(_) => {
                let error = sys::exec(&options.command);
                record::report(TOOL, &error);
                ExitCode::from(error.status())
            }
            Err(error) => {
                record::report(TOOL, &error);
                ExitCode::from(125)
            }
        },
        Err(code) => code,
    }
}

fn up(options: &Options) -> ExitCode {
    let work = |up: &mut record::Up| -> Result<Value, Error> {
        let path = options.dir.join(up.id().as_ref());
        let state = json!({"file": path.to_str()});
        if let (true, Some(before)) = (options.over, up.state()) {
            up.intend(&json!({"file": path.to_str(), record::RESTORES: before}))?;
            fs::write(&path, "over").call(|| "write".into())?;
            return finish(options, state);
        }
        if up.state() == Some(&state) && path.exists() {
            return match options.other {
                true => Err(Error::Failed(format!("{} is up", up.id()))),
                false => Ok(state),
            };
        }
        up.intend(&state)?;
        fs::File::create_new(&path).call(|| format!("open({})", path.display()))?;
        finish(options, state)
    };
    record::up(TOOL, &options.source, work, |id, state| {
        remove(options, id, state)
    })
}

fn finish(options: &Options, state: Value) -> Result<Value, Error> {
    if options.die {
        std::process::abort();
    }
    if options.fail {
        return Err(Error::Failed("told to fail".into()));
    }
    Ok(state)
}

fn remove(options: &Options, id: &Id, state: &Value) -> Result<(), Error> {
    if options.keep {
        return Err(Error::Failed("told to keep it".into()));
    }
    assert_eq!(
        state["file"].as_str(),
        options.dir.join(id.as_ref()).to_str()
    );
    if state.get(record::RESTORES).is_some() {
        return fs::write(options.dir.join(id.as_ref()), "")
            .call(|| "write".into())
            .map_err(Error::Sys);
    }
    match fs::remove_file(options.dir.join(id.as_ref())) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).call(|| "unlink".into()).map_err(Error::Sys)
        }
        _ => Ok(()),
    }
}
