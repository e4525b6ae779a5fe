//! Holds the namespaces of a pod, and can do nothing else: what the image carries. See the library beside it, and pause(1).
#![no_main]
// Only the profiles that abort can do without std's unwinder. Those of `cargo test` unwind: std is linked there, and never entered.
#![cfg_attr(panic = "abort", no_std)]

// The entry, `pause_hold_start`, is the library's.
use pause as _;

/// Nothing in `pause-hold` can panic, and the linker leaves this out; the compiler wants it named.
#[cfg(panic = "abort")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
