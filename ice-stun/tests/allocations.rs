//! Nothing is allocated to tell what a datagram is, nor to write, read and verify a check: a counting allocator
//! watches.

use std::hint::black_box;
use std::net::SocketAddr;

use ice_stun::ice::PacketKind;
use ice_stun::ice::gather::{self, Gatherer, Received, Socket};
use ice_stun::stun::{
    Builder, ChannelData, Class, IceControlling, Key, Message, Method, Priority, UseCandidate, Username,
    is_stun,
};
use testkit::{Clock, Counting, counted};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `run` allocates.
fn allocations<T>(run: impl FnOnce() -> T) -> usize {
    counted(|| black_box(run())).1.allocations
}

fn check(buffer: Vec<u8>, key: &Key) -> Vec<u8> {
    Builder::in_buffer(buffer, Class::Request, Method::BINDING, [7; 12])
        .attribute(&Username("evtj:h6vY"))
        .and_then(|builder| builder.attribute(&Priority(1)))
        .and_then(|builder| builder.attribute(&UseCandidate))
        .and_then(|builder| builder.attribute(&IceControlling(2)))
        .expect("it fits")
        .finish_with(Some(key), true)
}

#[test]
fn demultiplexing_allocates_nothing() {
    assert_eq!(allocations(|| vec![1_u8; 100]), 1, "the allocator counts");
    let key = Key::short_term("VOkJxbRl1RmTxUk/WvJxBt");
    let stun = check(Vec::new(), &key);
    let (mut rtp, mut channel) = (vec![0_u8; 172], Vec::new());
    rtp[0] = 0x80;
    ChannelData { channel: 0x4000, data: &rtp }.write(false, &mut channel).expect("it fits");
    let packets = [stun.as_slice(), &rtp, &channel, &[22; 100], &[]];
    let told = allocations(|| {
        for packet in packets {
            black_box((PacketKind::of(packet), is_stun(packet), ChannelData::parse(packet).is_ok()));
        }
    });
    assert_eq!(told, 0);
    // Media and checks that a gatherer lets pass, with a relay and a STUN server to tell them from.
    let clock = Clock::new();
    let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
    let (base, peer) = (at("192.0.2.1:4000"), at("192.0.2.9:4000"));
    let config = gather::Config { stun: vec![at("198.51.100.1:3478")], ..gather::Config::default() };
    let mut gatherer = Gatherer::new(config, [1; 32]);
    gatherer.add_sockets(clock.now(), &[Socket { component: 1, address: base }]);
    let passed = allocations(|| {
        for packet in [stun.as_slice(), &rtp] {
            for _ in 0..1_000 {
                let received = gatherer.handle_datagram(clock.now(), base, peer, packet);
                assert_eq!(received, Received::NotOurs);
            }
        }
    });
    assert_eq!(passed, 0);
}

#[test]
fn checks_are_written_read_and_verified_without_allocation() {
    let key = Key::short_term("VOkJxbRl1RmTxUk/WvJxBt");
    let mut buffer = check(Vec::new(), &key);
    let counted = allocations(|| {
        for _ in 0..1_000 {
            buffer = check(std::mem::take(&mut buffer), &key);
            let message = Message::parse(&buffer).expect("a message");
            assert!(message.verify(&key) && message.has_valid_fingerprint());
            black_box((message.get::<Username<'_>>(), message.get::<Priority>()));
        }
    });
    assert_eq!(counted, 0);
}
