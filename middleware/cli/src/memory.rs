//! Memory of calls that are over goes back to the system.
//!
//! glibc's allocator keeps nearly all that a burst of calls took, since something that lives on lies between what
//! does not; jemalloc's threads give back what nobody has used for ten seconds. `./dev load` shows it.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Has unused memory given back from now on, also while the program rests.
pub(crate) fn give_back() {
    // Where there is no thread for it memory goes back as calls come and go.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    let _ = tikv_jemalloc_ctl::background_thread::write(true);
}
