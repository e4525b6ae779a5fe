//! The five tools against the kernel. Every test has a machine of its own, a [`Node`], and leaves it as it was.
//!
//! ```no_run
//! let node = tests::Node::new();
//! node.sh("nsrun up --id foo --net >foo.json").succeeds();
//! node.sh("nsrun down <foo.json").succeeds();
//! node.assert_as_it_was();
//! ```
//!
//! # What a node is
//! Network, mount, pid, ipc, uts and cgroup namespaces and a cgroup subtree of its own, without any way out of the machine.
//!
//! | there | is |
//! |---|---|
//! | the machine's files | read-only, all of them: a tool that deletes too much deletes nothing |
//! | `/home` `/tmp` `/run` `/var/lib` | empty file systems in memory; `/home/namespace` is where scripts start, `/var/lib/cni` exists |
//! | `/dev` | null zero full random urandom tty, a `/dev/pts` of its own, `/dev/shm` |
//! | `/proc` `/sys` | of its own namespaces; `/sys` is read-only |
//! | `/sys/fs/cgroup` | every v1 hierarchy of the machine with the node's own group as its root; where the machine has only v2, that one |
//! | `/mnt/tools` | the tools under test, first in `PATH` |
//! | `/mnt/scripts` | the repository's `scripts` |
//! | propagation | shared everywhere, so that a mount that leaks out of a pod is seen |
//! | `ip_forward` | 0 |
//! | PID 1 | does nothing but reap |
//!
//! The helper program `node` makes it: `node keep` is the child of the test process and makes the groups; `node enter` joins
//! them and unshares; `node init` is PID 1. All hold the read end of one pipe. When the test ends or is killed, the pipe
//! ends, `init` ends, the kernel ends every process in the node, and `keep` removes the groups. `node run` enters a node to
//! run a command in it. The v2 hierarchy of a machine that has controllers on v1 is not mounted: crun refuses such a mixture.
//!
//! # What "as it was" means
//! [`Node::assert_as_it_was`] compares mounts, links, addresses, routes, rules, neighbours, settings, nft rules, queues, processes, groups,
//! namespaces and the files below `/run`, `/var/lib`, `/home`, `/tmp`, `/dev`. The comparison is immediate: when `down` returns, it has
//! waited for what it ends. Two things are left out, because they are the node's and not the tools': what its init has yet to
//! reap, and mount ids. [`Node::becomes_as_it_was`] waits for what no tool promised to wait for (a pod whose holder was killed).
//!
//! # Which binaries
//! Those in the directory `CHROOT0_BIN`, else those beside the test executable: `cargo build --workspace` first.
//!
//! # Skips
//! [`Node::has`] tells whether a program that a test needs besides the tools is installed. When it is not, the test says
//! `SKIPPED` on stderr and passes, or fails when `CI` is set.
//!
//! # Fault sweeps
//! [`trial`] kills each verb of each tool at, or fails, each of its system calls in turn ([`sweep`]), and prints what it counted.
//! Of all places and faults it takes a sample that is the same each time, and all with `CHROOT0_SWEEP=all`, which takes hours;
//! `CHROOT0_SWEEP=2/10` takes the second of ten parts of that.
//!
//! # Needs
//! root (for namespaces and groups), bash, iproute2, strace, jq, and for single stories what they name.

mod binaries;
pub mod completions;
pub mod life;
mod likeness;
pub mod mountinfo;
mod node;
mod output;
pub mod pod;
mod settings;
pub mod sweep;
pub mod trial;
pub mod web;
pub mod world;

pub use node::{Node, repository};
pub use output::{Output, step, without_times};
pub use world::World;
