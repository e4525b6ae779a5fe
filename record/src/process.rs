//! A process that cannot be mistaken for another: pid, start time and boot.

use std::fs;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use serde_json::{Value, json};
use sys::{Call, SysError, ToErrno};

/// Which process a pid meant when it was written down.
///
/// A pid alone is recycled within a boot and means nothing after it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessId {
    /// In the pid namespace of the reader.
    pub pid: i32,
    /// Clock ticks after boot; field 22 of /proc/PID/stat, proc_pid_stat(5).
    pub starttime: u64,
    /// /proc/sys/kernel/random/boot_id
    pub boot_id: String,
    /// Inode of the pid namespace in which `pid` is its number; a record may not say.
    pub pidns: Option<u64>,
}

impl ProcessId {
    /// Of the process that has `pid` now.
    ///
    /// # Errors
    /// `ESRCH`: there is none, or it has ended and only waits to be reaped.
    pub fn of(pid: i32) -> Result<Self, SysError> {
        check_proc()?;
        Ok(Self {
            pid,
            starttime: starttime(pid)?,
            boot_id: boot_id()?,
            pidns: own_pidns()?,
        })
    }

    /// A pidfd of exactly this process. None: it has ended, or the pid means another process, or this is another boot.
    ///
    /// # Errors
    /// Other failures than "it is gone" (no /proc, no descriptors left).
    pub fn open(&self) -> Result<Option<OwnedFd>, SysError> {
        if boot_id()? != self.boot_id {
            return Ok(None);
        }
        // There it lives or has ended, and here its number is of somebody else, or of nobody.
        if self.pidns.is_some() && own_pidns()?.is_some_and(|own| Some(own) != self.pidns) {
            let call = format!("pidfd_open({})", self.pid);
            let error = SysError::new(call, Errno::EXDEV);
            return Err(error.hint("a process of another pid namespace: do it there"));
        }
        check_proc()?;
        // Descriptor first: what is read after it cannot be about a later process of this pid without
        // the start time telling.
        let found = sys::pidfd_open(self.pid).and_then(|pidfd| Ok((pidfd, starttime(self.pid)?)));
        match found {
            Ok((pidfd, starttime)) => Ok((starttime == self.starttime).then_some(pidfd)),
            Err(error) if error.errno == Errno::ESRCH => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `{"pid":…,"starttime":…,"boot_id":…,"pidns":…}`
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut object =
            json!({"pid": self.pid, "starttime": self.starttime, "boot_id": self.boot_id});
        if let Some(pidns) = self.pidns {
            object["pidns"] = pidns.into();
        }
        object
    }

    /// From an object that has the first three keys of [`ProcessId::to_json`], and maybe more. None: it has not.
    #[must_use]
    pub fn from_json(value: &Value) -> Option<Self> {
        let pid = i32::try_from(value.get("pid")?.as_i64()?)
            .ok()
            .filter(|&pid| pid > 0)?;
        let starttime = value.get("starttime")?.as_u64()?;
        let boot_id = value.get("boot_id")?.as_str()?.to_owned();
        Some(Self {
            pid,
            starttime,
            boot_id,
            pidns: value.get("pidns").and_then(Value::as_u64),
        })
    }
}

/// A name of this boot of the machine; what an earlier boot made is gone.
///
/// # Errors
/// No /proc.
pub fn boot_id() -> Result<String, SysError> {
    // It is asked for with each process that is looked at.
    static KNOWN: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    if let Some(known) = KNOWN.get() {
        return Ok(known.clone());
    }
    let path = "/proc/sys/kernel/random/boot_id";
    let read = sys::read_kernel(path).call(|| format!("open({path})"))?;
    let name = || String::from_utf8_lossy(read.trim_ascii_end()).into_owned();
    Ok(KNOWN.get_or_init(name).clone())
}

/// The inode of our pid namespace; None without /proc.
fn own_pidns() -> Result<Option<u64>, SysError> {
    let path = "/proc/self/ns/pid";
    match fs::metadata(path) {
        Ok(found) => Ok(Some(std::os::unix::fs::MetadataExt::ino(&found))),
        Err(error) if error.to_errno() == Errno::ENOENT => Ok(None),
        Err(error) => Err(SysError::new(format!("stat({path})"), error)),
    }
}

/// In a /proc of another pid namespace every number is of somebody else.
fn check_proc() -> Result<(), SysError> {
    let own = fs::read_link("/proc/self").call(|| "readlink(/proc/self)".into());
    let is_own = |own: &std::path::PathBuf| own.to_str() == Some(&std::process::id().to_string());
    match own {
        Ok(own) if is_own(&own) => Ok(()),
        Err(error) if error.errno != Errno::ENOENT => Err(error),
        _ => Err(SysError::new("readlink(/proc/self)", Errno::ENOENT)
            .hint("no /proc of this pid namespace: nsrun exec --mount-proc mounts one")),
    }
}

/// Start time of `pid` in clock ticks after boot. `ESRCH`: gone, or a zombie.
fn starttime(pid: i32) -> Result<u64, SysError> {
    let path = format!("/proc/{pid}/stat");
    let stat = sys::read_kernel(&path)
        .call(|| format!("open({path})"))
        .map_err(|mut error| {
            if error.errno == Errno::ENOENT {
                error.errno = Errno::ESRCH;
            }
            error
        })?;
    // A process may have any bytes for a name.
    let stat = String::from_utf8_lossy(&stat);
    let (state, starttime) = parse_stat(&stat)
        .ok_or(Errno::EBADMSG)
        .call(|| format!("read({path})"))?;
    if matches!(state, "Z" | "X") {
        return Err(SysError::new(format!("open({path})"), Errno::ESRCH));
    }
    Ok(starttime)
}

/// State and start time (fields 3 and 22) of a line of /proc/PID/stat.
pub(crate) fn parse_stat(stat: &str) -> Option<(&str, u64)> {
    // The name in parentheses may hold blanks and parentheses of its own; nothing after it does.
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    let state = fields.next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn own() -> ProcessId {
        ProcessId::of(i32::try_from(std::process::id()).unwrap()).unwrap()
    }

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "42 (a) b (c) S 1 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 777 22 23";
        assert_eq!(parse_stat(stat), Some(("S", 777)));
        assert_eq!(parse_stat("42 (a S 1"), None);
        assert_eq!(parse_stat("42 (a) S 1"), None);
    }

    #[test]
    fn the_same_process_is_opened() {
        assert!(own().open().unwrap().is_some());
    }

    #[test]
    fn a_recycled_pid_or_another_boot_is_not() {
        let recycled = ProcessId {
            starttime: own().starttime + 1,
            ..own()
        };
        assert!(recycled.open().unwrap().is_none());
        let earlier = ProcessId {
            boot_id: "00000000-0000-0000-0000-000000000000".into(),
            ..own()
        };
        assert!(earlier.open().unwrap().is_none());
    }

    #[test]
    fn one_of_another_pid_namespace_is_neither_here_nor_gone() {
        let elsewhere = ProcessId {
            pidns: Some(1),
            ..own()
        };
        let error = elsewhere.open().unwrap_err().to_string();
        assert!(error.contains("another pid namespace"), "{error}");
        assert_eq!(ProcessId::from_json(&elsewhere.to_json()), Some(elsewhere));
    }

    #[test]
    fn a_zombie_is_gone() {
        let mut child = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let process = ProcessId::of(i32::try_from(child.id()).unwrap()).unwrap();
        let pidfd = process.open().unwrap().unwrap();
        drop(child.stdin.take());
        let ended = sys::pidfd_wait(
            std::os::fd::AsFd::as_fd(&pidfd),
            std::time::Duration::from_secs(10),
        );
        assert!(ended.unwrap());
        assert!(process.open().unwrap().is_none());
        child.wait().unwrap();
        assert!(process.open().unwrap().is_none());
    }

    #[test]
    fn json_round_trips_and_nonsense_is_no_process() {
        assert_eq!(ProcessId::from_json(&own().to_json()), Some(own()));
        for bad in [
            "{}",
            r#"{"pid":0,"starttime":1,"boot_id":"x"}"#,
            r#"{"pid":4294967297,"starttime":1,"boot_id":"x"}"#,
        ] {
            assert_eq!(
                ProcessId::from_json(&serde_json::from_str(bad).unwrap()),
                None
            );
        }
    }
}
