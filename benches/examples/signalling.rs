//! sip-core's example `answering` with the allocator that the program has, which gives memory back where glibc's keeps
//! most of it: what `./dev load` measures as signalling alone.

#[path = "../../sip-core/examples/answering.rs"]
mod answering;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::io::Result<()> {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    tikv_jemalloc_ctl::background_thread::write(true)
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    answering::main()
}
