//! The steady state of a tick: nothing is allocated (a counting allocator says so).

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use media::bridge::{Bridge, BridgeConfig, PortId};
use media::codec::{self, CodecParams};
use media::wav::{Clip, Repeat, WavPlayer};
use media::{EncodedFrame, PacketSource, StreamConfig, StreamFormat, StreamHandle, StreamPort, assets};
use testkit::{Allocations, Counting, counted};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The last frame of a stream, in a buffer that exists.
#[derive(Default)]
struct Mailbox {
    payload: Vec<u8>,
    timestamp: u32,
    fresh: bool,
}

struct Leg {
    id: PortId,
    source: PacketSource,
    mail: Arc<Mutex<Mailbox>>,
    _handle: StreamHandle,
}

fn leg(bridge: &mut Bridge, info: &codec::CodecInfo) -> Leg {
    let mail = Arc::new(Mutex::new(Mailbox { payload: Vec::with_capacity(4_000), ..Mailbox::default() }));
    let to = mail.clone();
    let sink = move |frame: EncodedFrame<'_>| {
        let mut mail = to.lock().expect("one thread");
        mail.payload.clear();
        mail.payload.extend_from_slice(frame.payload);
        mail.timestamp = frame.timestamp;
        mail.fresh = true;
    };
    let format = StreamFormat::symmetric(info, &CodecParams::default(), 96).expect("builds");
    let (port, handle, source) = StreamPort::new(StreamConfig::default(), format, Box::new(sink));
    handle.set_sending(true);
    handle.set_receiving(true);
    let id = bridge.add_port(Box::new(port));
    Leg { id, source, mail, _handle: handle }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a virtual clock begins somewhere")]
fn a_tick_allocates_nothing() {
    let mut bridge = Bridge::new(BridgeConfig::default());
    let clip = Clip::from_bytes(assets::ALICE).expect("our own file");
    let (player, _) = WavPlayer::new(clip, Repeat::LOOP);
    let player = bridge.add_port(Box::new(player));
    let mut legs: Vec<Leg> = codec::available().iter().map(|info| leg(&mut bridge, info)).collect();
    for from in &legs {
        bridge.connect(player, from.id, 0.0).expect("both are there");
        for to in &legs {
            bridge.connect(from.id, to.id, 0.0).expect("both are there");
        }
    }
    let start = Instant::now();
    let mut tick = |tick: u64| {
        bridge.tick();
        // Every leg hears itself back, with a loss now and then and a jitter of one packet.
        for (n, leg) in legs.iter_mut().enumerate() {
            let mut mail = leg.mail.lock().expect("one thread");
            let lost = (tick + n as u64).is_multiple_of(31);
            if std::mem::take(&mut mail.fresh) && !lost {
                let now = start + Duration::from_millis(20 * tick + (tick * 7) % 20);
                leg.source.push(tick, mail.timestamp, 96, &mail.payload, now);
            }
        }
    };
    assert_eq!(counted(|| vec![1_u8]).1.allocations, 1, "the allocator counts");
    // Twice round the slots of the jitter buffers.
    (0..300).for_each(&mut tick);
    let ((), Allocations { allocations, frees, .. }) = counted(|| (300..600).for_each(&mut tick));
    assert_eq!((allocations, frees), (0, 0), "in 300 ticks of {} streams", legs.len());
}
