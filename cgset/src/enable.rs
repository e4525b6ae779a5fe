//! What a new group lacks before there can be processes and limits in it.

use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::error::Error;
use crate::group::Group;
use crate::hierarchy::Version;
use crate::hints;
use crate::version::File;

impl Group {
    /// Gives a new v1 cpuset group the cpus and memory nodes of its parent; without them it takes no process.
    pub(crate) fn inherit_cpuset(&self, parent: &Self, key: &str) -> Result<(), Error> {
        if self.version() == Version::V1 && key.split(',').any(|controller| controller == "cpuset")
        {
            for name in ["cpuset.cpus", "cpuset.mems"] {
                if self.read(name)?.trim().is_empty() {
                    self.write(&File::new(name, parent.read(name)?.trim().to_owned()))?;
                }
            }
        }
        Ok(())
    }

    /// Gives the groups below a v2 group the controllers of `key`; those that have them already are left alone.
    ///
    /// All in one write(2): the kernel takes all of them or none. A threaded group would keep the one that it can have.
    pub(crate) fn enable(&self, key: &str) -> Result<(), Error> {
        /// How long the last process of the group may take to leave it.
        const PATIENCE: Duration = Duration::from_millis(200);
        if self.version() == Version::V1 {
            return Ok(());
        }
        let has = self.read("cgroup.subtree_control")?;
        let has: Vec<&str> = has.split_ascii_whitespace().collect();
        let missing: Vec<String> = key
            .split(',')
            .filter(|name| !name.is_empty() && !has.contains(name))
            .map(|name| format!("+{name}"))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let file = File::new("cgroup.subtree_control", missing.join(" "));
        let until = Instant::now() + PATIENCE;
        loop {
            match self.write(&file) {
                // A process that is ending counts until the kernel has taken it out.
                Err(error) if error.errno == Errno::EBUSY && Instant::now() < until => {
                    if !self.processes()?.is_empty() {
                        return Err(hints::enable(error).into());
                    }
                    std::thread::sleep(Duration::from_millis(1));
                }
                answer => return Ok(answer.map_err(hints::enable)?),
            }
        }
    }
}
