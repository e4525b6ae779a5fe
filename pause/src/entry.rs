//! Where the kernel starts each of the programs.
#![expect(unsafe_code, reason = "the linker knows an entry by its name")]

use crate::arch::entry;
use crate::{run, run_hold};

entry!(pause_start, run);
entry!(pause_hold_start, run_hold);
