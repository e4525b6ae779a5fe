//! System calls that more than one of the tools makes, and the error a user reads when one fails.
//!
//! A call that only one tool needs lives in that tool's own `sys.rs`.

mod arena;
mod calls;
mod error;
mod exec;
mod mountinfo;
mod signals;

pub use arena::Arena;
pub use calls::{close_on_exec_from, ns_type, pidfd_open, pidfd_send_signal, pidfd_wait};
pub use error::{Call, SysError, ToErrno};
pub use exec::{Command, ExecError, Program, exec};
pub use mountinfo::{Mount, mountinfo};
pub use signals::{is_ignored, restore_sigpipe, set_defaults, set_disposition};
