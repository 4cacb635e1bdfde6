//! The whole path of a frame allocates nothing once it runs, with SRTP and all (a counting allocator says so).

#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

#[path = "../benches/media/whole.rs"]
mod whole;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use media::assets;
use media::codec;
use media::wav::Clip;
use whole::End;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static WATCHED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
}

fn note() {
    if WATCHED.try_with(std::cell::Cell::get).unwrap_or(false) {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: every call goes unchanged to the system's allocator; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_whole_path_allocates_nothing() {
    for name in ["PCMU", "G722", "opus"] {
        let info = codec::available().iter().find(|info| info.name == name).expect("it is built in");
        let clip =
            Clip::from_bytes(assets::ALICE).expect("our own file").at_rate(info.sample_rate.min(16_000));
        for encrypts in [false, true] {
            let mut end = End::new(info, &clip, encrypts);
            (0..300).for_each(|_| {
                end.tick();
            });
            WATCHED.set(true);
            let packets: usize = (0..500).map(|_| end.tick()).sum();
            WATCHED.set(false);
            assert_eq!(ALLOCATIONS.load(Ordering::Relaxed), 0, "{name}, encrypted: {encrypts}");
            assert_eq!(packets, 500, "{name}: each frame went the whole way");
        }
    }
}
