//! `forward`: ports of this machine that lead to ports of the pod's own loopback, for as long as it runs.
//!
//! What kubectl port-forward does: connections are taken here and made anew in there, so the pod needs neither an address nor
//! a route, and a server that listens on its 127.0.0.1 alone is reached as well.

mod clients;
mod datagrams;
mod listen;
mod pause;
mod pipes;
mod progress;
mod relay;
mod report;
mod spec;
mod stream;
mod watch;

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use record::Record;
use sys::Call;

use crate::TOOL;
use crate::cli::ForwardArgs;
use crate::error::Error;
use crate::link::{self, By};
use crate::namespace::PodNamespace;
use crate::requests;

use listen::Listener;
use relay::Relay;
use report::Reporter;
use watch::Watch;

pub(crate) use spec::Spec;

/// Forwards until it is told to stop.
///
/// # Errors
/// A port cannot be listened on, or the pod has ended.
pub(crate) fn forward(record: &Record, args: &ForwardArgs) -> Result<(), Error> {
    if let Some((tool, error)) = record.failed() {
        return Err(Error::record(format!(
            "this record is of a pod that failed ({tool}: {error})"
        )));
    }
    let pod = PodNamespace::of(record, None)?;
    if args.dry_run {
        return say(&plan(&pod, &args.ports)?);
    }
    let watch = Watch::of(&pod)?;
    // Before there is anything to wait for: who asks us to stop right after "ready" is heard.
    let signals = stop_signals()?;
    let descriptors = usize::try_from(sys::allow_descriptors()).unwrap_or(usize::MAX);
    let listeners = listen::all(&args.ports)?;
    let reporter = Reporter::new(record.id().unwrap_or_default(), args.verbose, args.quiet);
    let idle = Duration::from_secs(args.udp_idle.into());
    let mut relay = Relay::new(listeners, signals, watch, reporter, descriptors, idle)?;
    if let Err(error) = switch_lo_on(&pod, args.verbose) {
        record::report(TOOL, error);
    }
    announce(relay.listeners())?;
    // The sockets that listen belong to this namespace, and those that the thread makes to the pod's.
    pod.inside(move || relay.run())
}

/// What would be listened on and where that leads to, in the words of [`announce`]; whether the ports are free is not tried.
fn plan(pod: &PodNamespace, specs: &[Spec]) -> Result<String, Error> {
    let mut lines: Vec<String> = listen::would(specs);
    let mut inside = pod.socket(false)?;
    if let Some(lo) = link::find(&mut inside, By::Name("lo"), false)?
        && !lo.up
    {
        lines.push(format!("pod: {}", requests::lo_up().call));
    }
    Ok(lines.join("\n") + "\n")
}

/// In a new network namespace it is off, and nothing in there can be reached by it.
fn switch_lo_on(pod: &PodNamespace, verbose: bool) -> Result<(), Error> {
    let mut inside = pod.socket(verbose)?;
    match link::find(&mut inside, By::Name("lo"), false)? {
        Some(lo) if !lo.up => inside.batch(vec![requests::lo_up()]).map(drop),
        _ => Ok(()),
    }
}

/// A line for each socket that listens, and one that says that all do: scripts wait for that.
fn announce(listeners: &[Listener]) -> Result<(), Error> {
    let lines = listeners.iter().map(|listener| format!("{listener}\n"));
    say(&lines.chain(["ready\n".to_owned()]).collect::<String>())
}

fn say(text: &str) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    Ok(written.call(|| "write(stdout)".into())?)
}

/// INT and TERM as something to wait for; one that the caller ignores, as a shell's `&` does with INT, stays ignored.
fn stop_signals() -> Result<SignalFd, Error> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        if !sys::is_ignored(signal as i32) {
            set.add(signal);
        }
    }
    // The thread in the pod's namespace inherits the mask.
    // Not thread_block(), which takes every error for success (nix 0.31).
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)
        .call(|| "sigprocmask(SIG_BLOCK)".into())?;
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&set, flags).call(|| "signalfd()".into())?)
}

/// Whether `fd` is a terminal.
fn is_terminal(fd: &impl AsFd) -> bool {
    rustix::termios::isatty(fd)
}
