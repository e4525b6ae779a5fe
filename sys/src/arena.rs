//! Memory of a process that lives for a moment: from one arena, given back only by ending.
#![expect(unsafe_code, reason = "GlobalAlloc is an unsafe trait")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// Bytes of the arena; what is not used of it is no memory. What does not fit goes to malloc.
const SIZE: usize = 16 << 20;
/// Blocks are multiples of it, and aligned to it.
const STEP: usize = 16;
/// Up to here blocks are of every multiple of [`STEP`], above of every power of two.
const SMALL: usize = 1 << 10;
/// The largest block that is kept for others.
const LARGE: usize = 64 << 10;
/// What a block that grows again and again has in front of it. As long as it is not used it is no memory either.
const ROOM: usize = LARGE;
/// Behind this there is one [`ROOM`] after the other, one for each bit of `rooms`.
const ROOMS: usize = SIZE - u32::BITS as usize * ROOM;
/// Lengths of blocks: 16, 32 ... 1024, then 2048, 4096 ... 65536.
const CLASSES: usize = SMALL / STEP + (LARGE / SMALL).ilog2() as usize;

#[repr(align(4096))]
struct Bytes(#[expect(dead_code, reason = "read and written through pointers alone")] [u8; SIZE]);

/// Hands out the arena from front to back, and blocks that were given back once more.
///
/// musl's malloc maps and unmaps pages for a few hundred small blocks: some fifty system calls before `exec` has read its
/// command line, as many as all of its work. And a page that is touched for the first time costs as much as several system
/// calls: what was given back is taken first, and a list that doubles, as clap's of a tool's options does six times, gets room
/// to do so where it is instead of a new place each time.
pub struct Arena {
    bytes: UnsafeCell<Bytes>,
    used: AtomicUsize,
    /// Where the first free block of each length begins, plus one; it says where the next one does.
    free: UnsafeCell<[usize; CLASSES]>,
    /// The rooms that are taken, a bit for each.
    rooms: AtomicU32,
    /// Somebody is at `free`. Who finds it so does without: nobody waits.
    is_busy: AtomicBool,
}

// SAFETY: `bytes` is reached only through blocks that `used`, an atomic counter, hands out once each, or `free`, which only
// whoever has set `is_busy` reads and writes.
unsafe impl Sync for Arena {}

/// The length of the block that is handed out for `size` bytes, and its place in `free`, if it has one.
fn class(size: usize) -> (usize, Option<usize>) {
    if size <= SMALL {
        let length = size.next_multiple_of(STEP).max(STEP);
        return (length, Some(length / STEP - 1));
    }
    if size <= LARGE {
        let length = size.next_power_of_two();
        let above = (length / SMALL).ilog2() as usize;
        return (length, Some(SMALL / STEP - 1 + above));
    }
    (size.saturating_add(STEP - 1) / STEP * STEP, None)
}

impl Arena {
    /// An empty one: `#[global_allocator] static ARENA: sys::Arena = sys::Arena::new();`
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a static needs a const function"
    )]
    pub const fn new() -> Self {
        Self {
            bytes: UnsafeCell::new(Bytes([0; SIZE])),
            used: AtomicUsize::new(0),
            free: UnsafeCell::new([0; CLASSES]),
            rooms: AtomicU32::new(0),
            is_busy: AtomicBool::new(false),
        }
    }

    /// Where `block` begins in the arena; None: malloc's.
    fn offset(&self, block: *mut u8) -> Option<usize> {
        block
            .addr()
            .checked_sub(self.bytes.get().addr())
            .filter(|&offset| offset < SIZE)
    }

    /// Moves the end of what is used, if it is where the caller believes.
    fn move_end(&self, from: usize, to: usize) -> bool {
        // Looked at first: a locked instruction takes as long as all the rest.
        let used = &self.used;
        used.load(Ordering::Relaxed) == from
            && used
                .compare_exchange(from, to, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Where a room begins that was free.
    fn take_room(&self) -> Option<usize> {
        let mut taken = self.rooms.load(Ordering::Relaxed);
        while taken != u32::MAX {
            let first = taken.trailing_ones();
            let with = taken | 1 << first;
            match self.rooms.compare_exchange_weak(
                taken,
                with,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(ROOMS + first as usize * ROOM),
                Err(now) => taken = now,
            }
        }
        None
    }

    /// Gives back the room of the block that begins at `begin`.
    fn leave_room(&self, begin: usize) {
        let bit = 1 << ((begin - ROOMS) / ROOM);
        self.rooms.fetch_and(!bit, Ordering::Release);
    }

    /// Does something with the free blocks, unless another thread does.
    fn with_free<T>(&self, work: impl FnOnce(&mut [usize; CLASSES]) -> Option<T>) -> Option<T> {
        if self.is_busy.swap(true, Ordering::Acquire) {
            return None;
        }
        // SAFETY: `is_busy` was not set and is set now: no other reference to `free` exists until it is taken back below.
        let answer = work(unsafe { &mut *self.free.get() });
        self.is_busy.store(false, Ordering::Release);
        answer
    }

    /// A free block of this class.
    fn pop(&self, class: usize) -> Option<*mut u8> {
        self.with_free(|free| {
            let begin = free[class].checked_sub(1)?;
            // SAFETY: `push` wrote the offset of a block, which lies in the arena, is aligned and has room for a word.
            let block = unsafe { self.bytes.get().cast::<u8>().add(begin) };
            // SAFETY: as above; the block is free, so its first word is the one that `push` wrote.
            free[class] = unsafe { block.cast::<usize>().read() };
            Some(block)
        })
    }

    /// Keeps the block at the offset `begin` for others.
    fn push(&self, begin: usize, class: usize) {
        self.with_free(|free| {
            // SAFETY: the block lies in the arena, is aligned to 16, has at least as many bytes, and nobody has it any more.
            unsafe {
                let block = self.bytes.get().cast::<u8>().add(begin);
                block.cast::<usize>().write(free[class]);
            }
            free[class] = begin + 1;
            Some(())
        });
    }
}

// SAFETY: a block of the arena lies within `bytes`, is aligned as asked, and is not handed out again unless it was given
// back; other blocks are System's from beginning to end.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (length, class) = class(layout.size());
        if let Some(block) = class
            .filter(|_| layout.align() <= STEP)
            .and_then(|class| self.pop(class))
        {
            return block;
        }
        let align = layout.align().max(STEP);
        let base = self.bytes.get().cast::<u8>();
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let begin = (base.addr() + used).next_multiple_of(align) - base.addr();
            let Some(end) = begin.checked_add(length).filter(|&end| end <= ROOMS) else {
                // SAFETY: the caller's promises about `layout` are passed on.
                return unsafe { System.alloc(layout) };
            };
            match self
                .used
                .compare_exchange_weak(used, end, Ordering::Relaxed, Ordering::Relaxed)
            {
                // SAFETY: begin..end lies within the arena, before the rooms, checked above.
                Ok(_) => return unsafe { base.add(begin) },
                Err(now) => used = now,
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(begin) = self.offset(block) else {
            // SAFETY: not ours, so System gave it, with this layout.
            return unsafe { System.dealloc(block, layout) };
        };
        if begin >= ROOMS {
            return self.leave_room(begin);
        }
        let (length, class) = class(layout.size());
        // The last block is taken back, others are kept; the largest are not missed.
        let is_taken_back = self.move_end(begin + length, begin);
        if let (false, Some(class)) = (is_taken_back, class) {
            self.push(begin, class);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(begin) = self.offset(block) else {
            // SAFETY: not ours, so System gave it, with this layout; `size` is the caller's promise.
            return unsafe { System.realloc(block, layout, size) };
        };
        let ((old, _), (new, _)) = (class(layout.size()), class(size));
        let (old_end, new_end) = (begin + old, begin.saturating_add(new));
        let has_room = begin >= ROOMS && size <= ROOM;
        // What is cut off of a block is not missed.
        if new <= old || has_room || new_end <= ROOMS && self.move_end(old_end, new_end) {
            return block;
        }
        let may_have_room = SMALL < size && size <= ROOM && layout.align() <= STEP;
        let moved = match may_have_room.then(|| self.take_room()).flatten() {
            // SAFETY: rooms lie within the arena, aligned as it is.
            Some(room) => unsafe { self.bytes.get().cast::<u8>().add(room) },
            // SAFETY: the caller promises that `size`, rounded up to the alignment, does not overflow.
            None => unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) },
        };
        if !moved.is_null() {
            // SAFETY: both blocks are at least as long as the shorter of the two, and a new block overlaps no old one. The
            // old one is given back with its own layout, and not used again.
            unsafe {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn blocks_do_not_overlap_and_the_last_one_grows_in_place() {
        // As in a program: a stack has no room for it.
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        // SAFETY: the layouts are those the blocks were asked with, none is empty.
        unsafe {
            let first = arena.alloc(layout(3, 1));
            let second = arena.alloc(layout(8, 8));
            assert!(second.addr() >= first.addr() + 3 && second.addr().is_multiple_of(8));
            second.write_bytes(7, 8);
            assert_eq!(arena.realloc(second, layout(8, 8), 40), second);
            let third = arena.alloc(layout(1, 1));
            let moved = arena.realloc(second, layout(40, 8), 80);
            assert!(moved.addr() > third.addr());
            assert_eq!(std::slice::from_raw_parts(moved, 8), [7; 8]);
            arena.dealloc(moved, layout(80, 8));
            assert_eq!(arena.alloc(layout(80, 8)), moved);
            let aligned = arena.alloc(layout(100, 4096));
            assert!(aligned.addr().is_multiple_of(4096));
        }
    }

    #[test]
    fn what_was_given_back_is_handed_out_again_to_one_who_needs_as_much() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        // SAFETY: the layouts are those the blocks were asked with, none is empty.
        unsafe {
            for size in [1, 16, 17, 1000, 1025, 40_000] {
                let (first, second) = (arena.alloc(layout(size, 1)), arena.alloc(layout(size, 1)));
                let _last = arena.alloc(layout(1, 1));
                arena.dealloc(first, layout(size, 1));
                arena.dealloc(second, layout(size, 1));
                let larger = arena.alloc(layout(3 * size + 16, 1));
                assert!(larger != first && larger != second, "{size}");
                assert_eq!(arena.alloc(layout(size, 8)), second, "{size}");
                assert_eq!(arena.alloc(layout(size, 1)), first, "{size}");
                let new = arena.alloc(layout(size, 1));
                assert!(new != first && new != second, "{size}");
            }
        }
    }

    #[test]
    fn what_grows_again_and_again_stays_where_it_is() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        // SAFETY: the layouts are those the blocks were asked with, none is empty.
        unsafe {
            // Each beside others that are in the way: two more than there are rooms.
            let mut rooms = HashSet::new();
            let mut grown = Vec::new();
            for mark in 0..u8::try_from(u32::BITS).unwrap() + 2 {
                let block = arena.alloc(layout(1000, 8));
                let _behind = arena.alloc(layout(1, 1));
                block.write_bytes(mark, 1000);
                let large = arena.realloc(block, layout(1000, 8), 2000);
                assert!(large != block && large.addr().is_multiple_of(16));
                if arena.offset(large).unwrap() >= ROOMS {
                    assert!(rooms.insert(large));
                    assert_eq!(arena.realloc(large, layout(2000, 8), ROOM), large);
                    large.add(2000).write_bytes(mark, ROOM - 2000);
                    grown.push((mark, large));
                }
            }
            assert_eq!(grown.len(), u32::BITS as usize);
            for &(mark, block) in &grown {
                let bytes = std::slice::from_raw_parts(block, ROOM);
                assert!(bytes[..1000].iter().all(|&byte| byte == mark));
                assert!(bytes[2000..].iter().all(|&byte| byte == mark));
            }
            // One that becomes too large leaves its room, one that is given back as well.
            for (mark, block) in grown {
                let larger = arena.realloc(block, layout(ROOM, 8), 3 * ROOM);
                assert!(arena.offset(larger).is_none_or(|begin| begin < ROOMS));
                assert_eq!(*larger.add(ROOM - 1), mark);
                arena.dealloc(larger, layout(3 * ROOM, 8));
            }
            let (block, _behind) = (arena.alloc(layout(1, 1)), arena.alloc(layout(1, 1)));
            let large = arena.realloc(block, layout(1, 1), 5000);
            assert!(rooms.contains(&large));
            arena.dealloc(large, layout(5000, 1));
            assert_eq!(arena.rooms.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn threads_that_take_and_give_back_never_have_the_same_block() {
        static ARENA: Arena = Arena::new();
        let work = |mark: u8| {
            for round in 0..20_000usize {
                let layout = layout(1 + round % 200, 1);
                // SAFETY: the block has that many bytes, is nobody else's, and goes back with its own layout.
                unsafe {
                    let block = ARENA.alloc(layout);
                    block.write_bytes(mark, layout.size());
                    let bytes = std::slice::from_raw_parts(block, layout.size());
                    assert!(bytes.iter().all(|&byte| byte == mark));
                    ARENA.dealloc(block, layout);
                }
            }
        };
        std::thread::scope(|scope| {
            for mark in 1..=4 {
                scope.spawn(move || work(mark));
            }
        });
    }

    #[test]
    fn what_does_not_fit_is_mallocs() {
        static ARENA: Arena = Arena::new();
        let arena = &ARENA;
        let large = layout(SIZE + 1, 16);
        // SAFETY: the layout is not empty and the same throughout.
        unsafe {
            let block = arena.alloc(large);
            assert!(!block.is_null() && arena.offset(block).is_none());
            block.write_bytes(1, SIZE + 1);
            arena.dealloc(block, large);
        }
    }
}
