//! The memory of a pause that holds: a page of text, which all share, and a page with the command line, for ps(1).
#![expect(unsafe_code, reason = "mmap(2) and munmap(2) of the program's own memory")]

use crate::arch::{PAGE, keep_and_wait, nr, syscall5, syscall6};
use crate::sys::{Signals, address};
use crate::text::Texts;

/// Where the text is. pause.ld has these two.
const TEXT: usize = 0x40_0000;

/// Where the command line goes: free, and near the text, so that one table of pages has both.
const STRINGS: usize = 0x41_0000;

/// Gives all other memory back, and waits for one of [`Signals::END`]; exits with 0.
pub(crate) fn keep_arguments_and_wait(arguments: Texts) -> ! {
    // The kernel has put the strings one after the other.
    let mut start = STRINGS;
    let mut end = STRINGS;
    for argument in arguments {
        if start == STRINGS {
            start = argument.address();
        }
        end = argument.end().address() + 1;
    }
    if move_strings(start, end - start) {
        end = STRINGS + end - start;
        start = STRINGS;
    }
    // SAFETY: nothing but the set and the text, both below STRINGS, is used from here on.
    unsafe { keep_and_wait(STRINGS, start & !(PAGE - 1), (end + PAGE - 1) & !(PAGE - 1), Signals::END) }
}

/// Copies the command line to [`STRINGS`] and has /proc/PID/cmdline show it there.
///
/// PR_SET_MM_MAP(2const): needs no privilege, but CONFIG_CHECKPOINT_RESTORE. Without it the command line stays where it is.
#[inline(always)]
fn move_strings(start: usize, length: usize) -> bool {
    const PR_SET_MM: usize = 35;
    const PR_SET_MM_MAP: usize = 14;
    /// PROT_READ | PROT_WRITE
    const PROTECTION: usize = 1 | 2;
    /// MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS
    const FLAGS: usize = 0x02 | 0x10 | 0x20;
    let end = STRINGS + length;
    let map = [
        TEXT, STRINGS, // code
        TEXT, TEXT, // data
        STRINGS - 1, STRINGS - 1, // heap: above the data, before Linux 5.15, and not what is named so in /proc/PID/maps
        end, // stack
        STRINGS, end, // arguments
        end, end, // environment: none
        0, 0xffff_ffff_0000_0000, // auxiliary vector and executable: as they are
    ];
    // SAFETY: the memory at STRINGS is used by nothing else, and mapped before it is written.
    unsafe {
        if syscall6(nr::MMAP, STRINGS, length, PROTECTION, FLAGS, usize::MAX, 0) < 0
            || syscall5(nr::PRCTL, PR_SET_MM, PR_SET_MM_MAP, address(&map), size_of_val(&map), 0) < 0
        {
            return false;
        }
        for i in 0..length {
            *((STRINGS + i) as *mut u8) = *((start + i) as *const u8);
        }
    }
    true
}
