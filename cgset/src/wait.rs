//! `cgset wait`: until the OOM killer has ended something, nobody is in the groups, all of them stand still, or memory, cpu or
//! io is short.

use std::os::fd::AsFd as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use record::Record;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value as Json, json};
use sys::{Call, SysError};

use crate::cli::WaitArgs;
use crate::error::Error;
use crate::freeze::{freezer, is_frozen};
use crate::hierarchy::{Hierarchies, Version};
use crate::remove::{Standing, processes};
use crate::usage::{field, oom_kills};
use crate::{TOOL, pod};

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The OOM killer ended more than so many.
    Oom(u64),
    Empty,
    Frozen,
    Pressure(Pressure),
}

/// Somebody waits for `resource` for `stall` out of `window`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pressure {
    resource: String,
    stall: Duration,
    window: Duration,
}

impl std::str::FromStr for Pressure {
    type Err = String;

    /// `memory`, `memory:150ms/1s`
    fn from_str(text: &str) -> Result<Self, String> {
        let (resource, times) = text.split_once(':').unwrap_or((text, "150ms/1s"));
        if !["memory", "cpu", "io"].contains(&resource) {
            return Err("not memory, cpu or io".into());
        }
        let time = |text: &str| {
            let (number, unit) = match (text.strip_suffix("us"), text.strip_suffix("ms")) {
                (Some(number), _) => (number, 1),
                (_, Some(number)) => (number, 1000),
                _ => (text.strip_suffix('s')?, 1_000_000),
            };
            let number = crate::units::number(number).filter(|_| !number.is_empty())?;
            Some(Duration::from_micros(number.checked_mul(unit)?))
        };
        let bad = "not STALL/WINDOW (150ms/1s; the window from 500ms to 10s, the stall within it)";
        let (stall, window) = times
            .split_once('/')
            .and_then(|(stall, window)| Some((time(stall)?, time(window)?)))
            .ok_or(bad)?;
        let windows = Duration::from_millis(500)..=Duration::from_secs(10);
        if stall.is_zero() || stall > window || !windows.contains(&window) {
            return Err(bad.into());
        }
        Ok(Self {
            resource: resource.to_owned(),
            stall,
            window,
        })
    }
}

/// Runs the verb.
pub(crate) fn wait(args: &WaitArgs) -> ExitCode {
    record::show(TOOL, &args.of.source, |record| wait_for(record, args))
}

fn wait_for(record: &Record, args: &WaitArgs) -> Result<String, Error> {
    let until = args.timeout.map(|timeout| Instant::now() + timeout);
    let hierarchies = Hierarchies::detect()?;
    let standing = pod::groups(record, &hierarchies, args.of.name.as_ref())?;
    let Some(first) = standing.first() else {
        return Ok(String::new());
    };
    let event = args.event();
    let mut watched = Watched::open(&event, &standing)?;
    loop {
        if let Some(mut found) = look(&event, &standing, &mut watched)? {
            found["id"] = pod::id_of(record)?.as_ref().into();
            found["group"] = format!("/{}", first.path).into();
            return Ok(format!("{found}\n"));
        }
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            let seconds = args.timeout.unwrap_or_default().as_secs_f64();
            return Err(Error::Failed(format!(
                "{}: {} after {seconds} s",
                first.path,
                event.still()
            )));
        }
        watched.wait(left)?;
    }
}

impl Event {
    /// What is still so when the time is over.
    fn still(&self) -> &'static str {
        match self {
            Self::Oom(_) => "the OOM killer ended nobody, or nobody more,",
            Self::Empty => "somebody is in it",
            Self::Frozen => "is not frozen",
            Self::Pressure(_) => "nobody was kept waiting",
        }
    }
}

/// Whether it has come.
fn look(
    event: &Event,
    standing: &[Standing<'_>],
    watched: &mut Watched,
) -> Result<Option<Json>, Error> {
    Ok(match event {
        Event::Oom(above) => {
            let kills = oom_kills(standing)?.ok_or_else(|| {
                Error::Failed(
                    "--oom: the pod has no memory group (is that controller mounted?)".into(),
                )
            })?;
            (kills > *above).then(|| json!({"event": "oom", "memory.oom_kill": kills}))
        }
        Event::Empty => {
            let is_empty = match watched {
                // The kernel knows it of all groups below.
                Watched::File {
                    group_events: true, ..
                } => populated(standing)? == Some(false),
                _ => processes(standing)?.is_empty(),
            };
            is_empty.then(|| json!({"event": "empty"}))
        }
        Event::Frozen => {
            let freezer = freezer(standing)?;
            is_frozen(&freezer.pod, freezer.hierarchy.version)?.then(|| json!({"event": "frozen"}))
        }
        Event::Pressure(pressure) => match watched {
            Watched::File { fired: true, .. } => {
                Some(json!({"event": "pressure", "resource": pressure.resource}))
            }
            _ => None,
        },
    })
}

/// What v2's cgroup.events says; a group that is gone is empty.
fn populated(standing: &[Standing<'_>]) -> Result<Option<bool>, Error> {
    let Some(v2) = standing
        .iter()
        .find(|standing| standing.hierarchy.version == Version::V2)
    else {
        return Ok(None);
    };
    match v2.pod.read("cgroup.events") {
        Ok(text) => Ok(field(&text, "populated").map(|is| is == 1)),
        Err(error) if crate::group::IsGone::is_gone(&error) => Ok(Some(false)),
        Err(error) => Err(error.into()),
    }
}

/// How a change is noticed.
enum Watched {
    /// v1 says nothing by itself: asked every so often.
    Clock,
    /// A file of v2 whose change poll(2) tells.
    File {
        file: std::fs::File,
        /// It is cgroup.events of a pod that is on v2 alone.
        group_events: bool,
        /// poll(2) has said so.
        fired: bool,
    },
}

impl Watched {
    fn open(event: &Event, standing: &[Standing<'_>]) -> Result<Self, Error> {
        let v2 = |controller: &str| {
            standing.iter().find(|standing| {
                standing.hierarchy.version == Version::V2
                    && (controller.is_empty()
                        || standing.key.split(',').any(|name| name == controller))
            })
        };
        let all_v2 = standing
            .iter()
            .all(|standing| standing.hierarchy.version == Version::V2);
        let (found, name) = match event {
            Event::Oom(_) => (v2("memory"), "memory.events".to_owned()),
            Event::Empty if !all_v2 => (None, String::new()),
            Event::Empty | Event::Frozen => (v2(""), "cgroup.events".to_owned()),
            Event::Pressure(pressure) => (v2(""), format!("{}.pressure", pressure.resource)),
        };
        let Some(found) = found else {
            return match event {
                Event::Pressure(_) => Err(Error::Failed(
                    "--pressure: cgroup v1 does not know of it (only v2 groups have NAME.pressure; of the whole machine see /proc/pressure)"
                        .into(),
                )),
                _ => Ok(Self::Clock),
            };
        };
        let write = matches!(event, Event::Pressure(_));
        let file = found.pod.open(&name, write)?;
        if let Event::Pressure(pressure) = event {
            // psi.rst of the kernel: from here on the descriptor polls POLLPRI when it was so in a window.
            let text = format!(
                "some {} {}",
                pressure.stall.as_micros(),
                pressure.window.as_micros()
            );
            let call = || format!("write({}/{name}, {text})", found.pod.path().display());
            std::io::Write::write_all(&mut &file, text.as_bytes()).call(call)?;
        }
        Ok(Self::File {
            file,
            group_events: *event == Event::Empty,
            fired: false,
        })
    }

    /// Until something may have changed, or a moment is over.
    fn wait(&mut self, left: Option<Duration>) -> Result<(), Error> {
        const MOMENT: Duration = Duration::from_millis(10);
        const LONG: Duration = Duration::from_secs(1);
        match self {
            Self::Clock => std::thread::sleep(left.unwrap_or(MOMENT).min(MOMENT)),
            Self::File { file, fired, .. } => {
                let time = Timespec::try_from(left.unwrap_or(LONG).min(LONG)).ok();
                let mut fds = [PollFd::from_borrowed_fd(file.as_fd(), PollFlags::PRI)];
                match poll(&mut fds, time.as_ref()) {
                    Ok(_) => {}
                    Err(rustix::io::Errno::INTR) => return Ok(()),
                    Err(errno) => return Err(SysError::new("poll()", errno).into()),
                }
                let events = fds[0].revents();
                // kernfs answers POLLERR with each change too; alone it says that the group is gone.
                *fired |= events.contains(PollFlags::PRI);
                if events == PollFlags::ERR {
                    std::thread::sleep(MOMENT);
                }
                reread(file);
            }
        }
        Ok(())
    }
}

/// A change is told once for each reading.
fn reread(file: &mut std::fs::File) {
    use std::io::{Read as _, Seek as _};
    let mut text = String::new();
    // Of a group that is gone nothing can be read, which is seen by who looks next.
    let _ = file.rewind().and_then(|()| file.read_to_string(&mut text));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_is_a_resource_and_two_times() {
        let pressure = |resource: &str, stall, window| Pressure {
            resource: resource.into(),
            stall: Duration::from_micros(stall),
            window: Duration::from_micros(window),
        };
        for (text, read) in [
            ("memory", pressure("memory", 150_000, 1_000_000)),
            ("cpu:1ms/2s", pressure("cpu", 1000, 2_000_000)),
            ("io:500us/500ms", pressure("io", 500, 500_000)),
        ] {
            assert_eq!(text.parse::<Pressure>().unwrap(), read);
        }
        for bad in [
            "",
            "net",
            "memory:",
            "memory:1s",
            "memory:2s/1s",
            "memory:0ms/1s",
            "memory:1ms/1ms",
            "memory:1s/11s",
            "memory:1/2",
            "memory:ms/1s",
            "memory:-1ms/1s",
            "memory:18446744073709551615s/1s",
        ] {
            assert!(bad.parse::<Pressure>().is_err(), "{bad}");
        }
    }
}
