//! System calls that more than one of the tools makes, and the error a user reads when one fails.
//!
//! A call that only one tool needs lives in that tool's own `sys.rs`.

/// As in the tools: a child of a test, which has threads, must not wait for malloc's lock.
#[cfg(test)]
#[global_allocator]
static ARENA: fuzz::Counting<Arena> = fuzz::Counting::new(Arena::new());

mod arena;
mod calls;
mod check;
mod close_later;
mod error;
mod exec;
mod file;
mod input;
mod limits;
mod linger;
#[cfg(all(target_env = "musl", target_arch = "x86_64"))]
mod mem;
mod module;
mod mountinfo;
pub mod parent;
mod probe;
mod signals;

pub use arena::Arena;
pub use calls::{
    clone3, close_on_exec_from, close_range_cloexec, duplicate, exit_now, ns_type, pidfd_open,
    pidfd_send_signal, pidfd_wait,
};
pub use check::{Check, Checks};
pub use close_later::CloseLater;
pub use error::{Call, NO_CALL, SysError, ToErrno};
pub use exec::{Command, ExecError, Program, exec, restore_signals};
pub use file::{gone, is_still, read_kernel, read_open_kernel};
pub use input::{Input, descriptor};
pub use limits::{allow_descriptors, most_descriptors};
pub use linger::{LINGERS, Lingering, linger};
pub use module::Module;
pub use mountinfo::{Mount, mountinfo};
pub use probe::{Answer, Answers, Teller, clone3_into, enter_user_namespace, in_child};
pub use signals::{
    callers_mask, every_signal, is_ignored, kill, restore_sigpipe, set_defaults, set_disposition,
    set_mask, stdout_was_closed,
};
