//! The CPU on which a mount namespace has to be made so that it can be pinned.
//!
//! A mount namespace can be mounted only in one with a lower number, mount_namespaces(7); else they could hold each other.
//! Linux 6.18 takes these numbers from a store of each CPU: the next one of another CPU may be lower than ours, and the mount
//! is EINVAL. Only the CPU our own namespace was made on is sure to have a higher one. On a host's first mount namespace
//! every number is higher.

use std::fs::File;
use std::io::{Read, Write, pipe};
use std::os::fd::AsFd;

use ::sys::{Call, SysError, clone3, exit_now};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::sys::ns_id;

/// This process on one CPU, until the value goes.
#[derive(Debug)]
pub(crate) struct OneCpu {
    before: CpuSet,
}

impl OneCpu {
    /// On a CPU whose next namespace has a higher number than our mount namespace. None: the kernel has no such numbers, or no
    /// CPU that we may use has a higher one.
    ///
    /// # Errors
    /// The trial failed.
    pub(crate) fn for_pinned_mounts() -> Result<Option<Self>, SysError> {
        let own = File::open("/proc/self/ns/mnt").call(|| "open(/proc/self/ns/mnt)".into())?;
        // More CPUs than the set has places for: then as it comes.
        let (Some(own), Ok(before)) = (ns_id(own.as_fd()), sched_getaffinity(Pid::from_raw(0)))
        else {
            return Ok(None);
        };
        // Whatever happens, it is given back.
        let one = Self { before };
        for cpu in (0..CpuSet::count()).filter(|&cpu| before.is_set(cpu) == Ok(true)) {
            let mut set = CpuSet::new();
            let chosen = set
                .set(cpu)
                .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
            if chosen.is_ok() && next_id()?.is_some_and(|next| next > own) {
                return Ok(Some(one));
            }
        }
        Ok(None)
    }

    /// Lets `pid`, which was born meanwhile, on every CPU that this process came with.
    pub(crate) fn release(&self, pid: i32) {
        // One that has ended needs none.
        let _ = sched_setaffinity(Pid::from_raw(pid), &self.before);
    }
}

impl Drop for OneCpu {
    fn drop(&mut self) {
        self.release(0);
    }
}

/// The number of a namespace that is made now; every kind takes it from the same store, and this one costs the least.
fn next_id() -> Result<Option<u64>, SysError> {
    let (mut answer, mut writer) = pipe().call(|| "pipe2(O_CLOEXEC)".into())?;
    let Some(pid) = clone3(libc::CLONE_NEWUTS, None).call(|| "clone3(CLONE_NEWUTS)".into())? else {
        let made = File::open("/proc/self/ns/uts").ok();
        let id = made.and_then(|file| ns_id(file.as_fd())).unwrap_or(0);
        let _ = writer.write_all(&id.to_ne_bytes());
        exit_now(0)
    };
    drop(writer);
    let mut bytes = [0; 8];
    let read = answer.read_exact(&mut bytes);
    waitpid(Pid::from_raw(pid), None).call(|| format!("waitpid({pid})"))?;
    Ok(read.is_ok().then(|| u64::from_ne_bytes(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_affinity_is_as_it_was_afterwards() {
        let before = sched_getaffinity(Pid::from_raw(0)).unwrap();
        // Without root the trial fails: then too.
        if let Ok(Some(one)) = OneCpu::for_pinned_mounts() {
            let now = sched_getaffinity(Pid::from_raw(0)).unwrap();
            let count = (0..CpuSet::count()).filter(|&cpu| now.is_set(cpu) == Ok(true));
            assert_eq!(count.count(), 1);
            drop(one);
        }
        assert_eq!(sched_getaffinity(Pid::from_raw(0)).unwrap(), before);
    }
}
