//! What a thread allocates, by an allocator that counts.

#![expect(unsafe_code, reason = "a global allocator is unsafe by its trait; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counted for [`counted`]: a test that counts makes it the global one.
///
/// ```
/// use testkit::{Counting, counted};
///
/// #[global_allocator]
/// static ALLOCATOR: Counting = Counting;
///
/// let (kept, count) = counted(|| vec![1_u8; 100]);
/// assert_eq!((count.allocations, count.frees, count.peak), (1, 0, 100));
/// drop(kept);
/// ```
#[derive(Debug)]
pub struct Counting;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Blocks that were asked for; one that grows counts again.
    pub allocations: usize,
    /// Blocks that were given back.
    pub frees: usize,
    /// The most bytes that were held at once, beside those that were held before.
    pub peak: isize,
}

thread_local! {
    static COUNT: Cell<Allocations> = const { Cell::new(Allocations { allocations: 0, frees: 0, peak: 0 }) };
    static HELD: Cell<isize> = const { Cell::new(0) };
}

/// Counts what `work` allocates on this thread; nothing, where [`Counting`] is not the global allocator.
pub fn counted<T>(work: impl FnOnce() -> T) -> (T, Allocations) {
    let (held, before) = (HELD.get(), COUNT.get());
    COUNT.set(Allocations { peak: held, ..before });
    let result = work();
    let after = COUNT.get();
    let count = Allocations {
        allocations: after.allocations - before.allocations,
        frees: after.frees - before.frees,
        peak: after.peak - held,
    };
    COUNT.set(Allocations { peak: before.peak.max(after.peak), ..after });
    (result, count)
}

fn note(allocations: usize, frees: usize, bytes: isize) {
    // The thread may be ending.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + bytes);
        let _ = COUNT.try_with(|count| {
            let Allocations { allocations: asked, frees: given, peak } = count.get();
            count.set(Allocations {
                allocations: asked + allocations,
                frees: given + frees,
                peak: peak.max(held.get()),
            });
        });
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, 0, layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note(0, 1, -layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, 0, size.cast_signed() - layout.size().cast_signed());
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(place, layout, size) }
    }
}
