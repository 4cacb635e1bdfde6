//! The whole path of a frame allocates nothing once it runs, with SRTP and all (a counting allocator says so).

#[path = "../benches/media/whole.rs"]
mod whole;

use media::assets;
use media::codec;
use media::wav::Clip;
use testkit::{Allocations, Counting, counted};
use whole::End;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_whole_path_allocates_nothing() {
    assert_eq!(counted(|| vec![1_u8]).1.allocations, 1, "the allocator counts");
    for name in ["PCMU", "G722", "opus"] {
        let info = codec::available().iter().find(|info| info.name == name).expect("it is built in");
        let clip =
            Clip::from_bytes(assets::ALICE).expect("our own file").at_rate(info.sample_rate.min(16_000));
        for encrypts in [false, true] {
            let mut end = End::new(info, &clip, encrypts);
            (0..300).for_each(|_| {
                end.tick();
            });
            let (packets, count) = counted(|| (0..500).map(|_| end.tick()).sum::<usize>());
            let Allocations { allocations, frees, .. } = count;
            assert_eq!((allocations, frees), (0, 0), "{name}, encrypted: {encrypts}");
            assert_eq!(packets, 500, "{name}: each frame went the whole way");
        }
    }
}
