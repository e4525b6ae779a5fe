//! Memory of a process that lives for a moment: from one arena, given back only by ending.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the arena. The command line and a record of the usual size need less; what does not fit goes to malloc.
const SIZE: usize = 1 << 20;

/// Hands out the arena from front to back.
///
/// musl's malloc maps and unmaps pages for a few hundred small blocks: some fifty system calls before `exec` has read its
/// command line, as many as all of its work.
pub struct Arena {
    bytes: UnsafeCell<[u8; SIZE]>,
    used: AtomicUsize,
}

// SAFETY: `bytes` is reached only through blocks that `used`, an atomic counter, hands out once each.
unsafe impl Sync for Arena {}

impl Arena {
    /// An empty one: `#[global_allocator] static ARENA: sys::Arena = sys::Arena::new();`
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a static needs a const function"
    )]
    pub const fn new() -> Self {
        Self {
            bytes: UnsafeCell::new([0; SIZE]),
            used: AtomicUsize::new(0),
        }
    }

    /// Where `block` begins in the arena; None: malloc's.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        block
            .addr()
            .checked_sub(self.bytes.get().addr())
            .filter(|&offset| offset < SIZE)
    }
}

// SAFETY: a block of the arena lies within `bytes`, is aligned as asked, and is not handed out again unless it was the last
// one and was given back; other blocks are System's from beginning to end.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let base = self.bytes.get().cast::<u8>();
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            // As malloc has it: nix puts control messages of sendmsg(2) into a vector of bytes (checked 0.31).
            let align = layout.align().max(align_of::<usize>());
            let begin = (base.addr() + used).next_multiple_of(align) - base.addr();
            let Some(end) = begin.checked_add(layout.size()).filter(|&end| end <= SIZE) else {
                // SAFETY: the caller's promises about `layout` are passed on.
                return unsafe { System.alloc(layout) };
            };
            match self
                .used
                .compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed)
            {
                // SAFETY: begin..end lies within the arena, checked above.
                Ok(_) => return unsafe { base.add(begin) },
                Err(now) => used = now,
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match self.offset(block) {
            // The last block is taken back; others are not missed.
            Some(begin) => {
                let end = begin + layout.size();
                let _ =
                    self.used
                        .compare_exchange(end, begin, Ordering::Relaxed, Ordering::Relaxed);
            }
            // SAFETY: not ours, so System gave it, with this layout.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(begin) = self.offset(block) else {
            // SAFETY: not ours, so System gave it, with this layout; `size` is the caller's promise.
            return unsafe { System.realloc(block, layout, size) };
        };
        let (old, new) = (begin + layout.size(), begin.saturating_add(size));
        if new <= SIZE
            && self
                .used
                .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            return block;
        }
        // SAFETY: the caller promises that `size`, rounded up to the alignment, does not overflow.
        let moved = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !moved.is_null() {
            // SAFETY: both blocks are at least as long as the shorter of the two, and a new block overlaps no old one.
            unsafe { ptr::copy_nonoverlapping(block, moved, layout.size().min(size)) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap_and_the_last_one_grows_in_place() {
        // As in a program: a stack has no room for it.
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        // SAFETY: the layouts are those the blocks were asked with, none is empty.
        unsafe {
            let first = arena.alloc(layout(3, 1));
            let second = arena.alloc(layout(8, 8));
            assert!(second.addr() >= first.addr() + 3 && second.addr() % 8 == 0);
            second.write_bytes(7, 8);
            assert_eq!(arena.realloc(second, layout(8, 8), 16), second);
            let third = arena.alloc(layout(1, 1));
            let moved = arena.realloc(second, layout(16, 8), 32);
            assert!(moved.addr() > third.addr());
            assert_eq!(std::slice::from_raw_parts(moved, 8), [7; 8]);
            arena.dealloc(moved, layout(32, 8));
            assert_eq!(arena.alloc(layout(32, 8)), moved);
        }
    }

    #[test]
    fn what_does_not_fit_is_mallocs() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        let large = Layout::from_size_align(SIZE + 1, 16).unwrap();
        // SAFETY: the layout is not empty and the same throughout.
        unsafe {
            let block = arena.alloc(large);
            assert!(!block.is_null() && arena.offset(block).is_none());
            block.write_bytes(1, SIZE + 1);
            arena.dealloc(block, large);
        }
    }
}
