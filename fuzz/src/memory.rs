//! What a case allocates: the most that its thread had at one time.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

thread_local! {
    /// Bytes this thread has, or has given back of others' (then below 0), since the last [`begin`].
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    /// Allocations are counted at all: once one was, the allocator of this program is a counting one.
    static IS_COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// An allocator that counts for each thread.
#[derive(Debug)]
pub struct Counting<A>(A);

impl<A> Counting<A> {
    /// Around the one that does the work.
    pub const fn new(allocator: A) -> Self {
        Self(allocator)
    }
}

fn count(bytes: isize) {
    // A thread that is ending has no counters any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(live.get())));
        let _ = IS_COUNTED.try_with(|is| is.set(true));
    });
}

fn signed(bytes: usize) -> isize {
    isize::try_from(bytes).unwrap_or(isize::MAX)
}

// SAFETY: every request goes to the inner allocator as it came, and its answer back; counting allocates nothing.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: the caller's contract is the inner one's.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(signed(layout.size()));
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        count(-signed(layout.size()));
        // SAFETY: as above; the block is the inner allocator's.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(signed(size) - signed(layout.size()));
        // SAFETY: as above.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

/// Counts from here.
pub(crate) fn begin() {
    LIVE.set(0);
    PEAK.set(0);
}

/// The most since [`begin`]; None: nobody counts.
pub(crate) fn most() -> Option<usize> {
    IS_COUNTED
        .get()
        .then(|| usize::try_from(PEAK.get()).unwrap_or(0))
}
