//! The whole path of a frame: microphone, encoder, RTP, SRTP, and back: SRTP, RTP, jitter buffer, decoder,
//! mix. Both ends of a call are here, each with a bridge of its own.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use media::bridge::{Bridge, BridgeConfig};
use media::codec::{CodecInfo, CodecParams};
use media::wav::{Clip, Repeat, WavPlayer};
use media::{EncodedFrame, PacketSource, StreamConfig, StreamFormat, StreamHandle, StreamPort};
use rtp_srtp::srtp::{MasterKey, SrtpReceiver, SrtpSender, Suite};
use rtp_srtp::{RtpHeader, RtpPacket};

const PAYLOAD_TYPE: u8 = 96;
const ROOM: usize = 2_048;

/// A packet on its way, in a buffer that goes round.
type Packet = Box<([u8; ROOM], usize)>;

/// One end, and what it receives of itself: a loop costs what a call costs each of its ends.
pub(crate) struct End {
    bridge: Bridge,
    received: Receiver<Packet>,
    back: SyncSender<Packet>,
    opener: Option<SrtpReceiver>,
    source: PacketSource,
    _handle: StreamHandle,
    begin: Instant,
    ticks: u64,
}

impl End {
    /// Plays a clip into a stream with this codec, with keys or in the clear.
    pub(crate) fn new(info: &'static CodecInfo, clip: &Clip, encrypts: bool) -> Self {
        let rate = clip.sample_rate();
        let params = CodecParams { sample_rate: Some(rate), ..CodecParams::default() };
        let key = MasterKey::new(Suite::AesCm128HmacSha1_80, &[7; 30]).expect("its length");
        let mut keys = encrypts.then(|| SrtpSender::new(&key));
        let (wire, received) = sync_channel::<Packet>(4);
        let (back, empty) = sync_channel::<Packet>(4);
        for _ in 0..3 {
            back.send(Box::new(([0; ROOM], 0))).expect("there is room");
        }
        let mut sequence = 0_u16;
        let sink = move |frame: EncodedFrame<'_>| {
            let Ok(mut packet) = empty.try_recv() else { return };
            let (buffer, length) = &mut *packet;
            let header = RtpHeader::new(PAYLOAD_TYPE, sequence, frame.timestamp, 3);
            sequence = sequence.wrapping_add(1);
            *length = header.write_packet(frame.payload, buffer).expect("it fits");
            if let Some(keys) = &mut keys {
                *length = keys.protect(buffer, *length).expect("there is room");
            }
            let _ = wire.try_send(packet);
        };
        let format = StreamFormat::symmetric(info, &params, PAYLOAD_TYPE).expect("builds");
        let (port, handle, source) = StreamPort::new(StreamConfig::default(), format, Box::new(sink));
        handle.set_sending(true);
        handle.set_receiving(true);
        let mut bridge = Bridge::new(BridgeConfig { sample_rate: rate, ptime_ms: 20 });
        let (player, _) = WavPlayer::new(clip.clone(), Repeat::Forever(Duration::ZERO));
        let player = bridge.add_port(Box::new(player));
        let stream = bridge.add_port(Box::new(port));
        let speaker = bridge.add_port(Box::new(media::device::null_device(rate)));
        bridge.connect(player, stream, 0.0).expect("both are there");
        bridge.connect(stream, speaker, 0.0).expect("both are there");
        let opener = encrypts.then(|| SrtpReceiver::new(&key));
        #[expect(clippy::disallowed_methods, reason = "a virtual clock begins somewhere")]
        let begin = Instant::now();
        Self { bridge, received, back, opener, source, _handle: handle, begin, ticks: 0 }
    }

    /// 20 ms; how many packets came.
    pub(crate) fn tick(&mut self) -> usize {
        self.bridge.tick();
        let now = self.begin + Duration::from_millis(20 * self.ticks);
        self.ticks += 1;
        let mut count = 0;
        while let Ok(mut packet) = self.received.try_recv() {
            let (buffer, length) = &mut *packet;
            let buffer = &mut buffer[..*length];
            let length = match &mut self.opener {
                Some(opener) => opener.unprotect(buffer).expect("authentic"),
                None => *length,
            };
            let packet_in = RtpPacket::parse(&buffer[..length]).expect("a packet");
            // The numbers of one run do not wrap where it counts.
            let (sequence, timestamp) = (u64::from(packet_in.sequence()), packet_in.timestamp());
            let sequence = sequence + (self.ticks >> 16 << 16);
            self.source.push(sequence, timestamp, PAYLOAD_TYPE, packet_in.payload(), now);
            let _ = self.back.try_send(packet);
            count += 1;
        }
        count
    }
}
