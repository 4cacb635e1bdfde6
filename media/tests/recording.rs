//! Recordings: both sides in place, pause, a crash, a full disk.

use std::io::{Cursor, Error, ErrorKind, Result as IoResult, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use media::bridge::{Bridge, BridgeConfig, PortEvent};
use media::wav::{Clip, Layout, Recorder, RecorderConfig, Repeat, WavPlayer, read_stereo};
use media::{analysis, assets};

fn both_sides(bridge: &mut Bridge, recorder: Vec<media::wav::RecorderPort>) {
    for (port, speech) in recorder.into_iter().zip([assets::ALICE, assets::BOB]) {
        let (player, _) = WavPlayer::new(Clip::from_bytes(speech).expect("our own file"), Repeat::Once);
        let player = bridge.add_port(Box::new(player));
        let port = bridge.add_port(Box::new(port));
        bridge.connect(player, port, 0.0).expect("both are there");
    }
}

/// Virtual time runs faster than a disk: the whole recording has to fit between.
fn patient(layout: Layout, sample_rate: u32) -> RecorderConfig {
    RecorderConfig { sample_rate, layout, patience: Duration::from_secs(10) }
}

#[test]
fn stereo_holds_one_side_each() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("new/deep/call.wav");
    let (recorder, ports) = Recorder::create(&path, patient(Layout::Stereo, 16_000)).expect("can be written");
    let mut bridge = Bridge::new(BridgeConfig::default());
    both_sides(&mut bridge, ports);
    for tick in 0..300 {
        // Half a second is left out on both sides.
        recorder.set_paused((100..125).contains(&tick));
        bridge.tick();
    }
    let summary = recorder.finish();
    assert_eq!((summary.samples, summary.lost, summary.error), (275 * 320, 0, None));
    let (left, right, rate) = read_stereo(&path).expect("a WAV");
    assert_eq!((left.len(), right.len(), rate), (275 * 320, 275 * 320, 16_000));
    for (side, speech) in [(left, assets::ALICE), (right, assets::BOB)] {
        let mut expected = Clip::from_bytes(speech).expect("our own file").samples()[..300 * 320].to_vec();
        expected.drain(100 * 320..125 * 320);
        assert!(side == expected, "sample exact");
    }
}

#[test]
fn mono_is_the_mix_at_another_rate() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mix.wav");
    let (recorder, ports) = Recorder::create(&path, patient(Layout::Mono, 8_000)).expect("can be written");
    let mut bridge = Bridge::new(BridgeConfig::default());
    both_sides(&mut bridge, ports);
    for _ in 0..300 {
        bridge.tick();
    }
    recorder.finish();
    let clip = Clip::from_bytes(assets::ALICE).expect("our own file").at_rate(8_000);
    let recorded = media::wav::read_mono(&path, 8_000).expect("a WAV");
    assert_eq!(recorded.len(), 300 * 160);
    let (_, likeness) = analysis::correlate(&clip.samples()[..recorded.len()], &recorded, 800);
    assert!(likeness > 0.99, "{likeness}");
}

/// A disk with room for so many bytes, which survives the recorder.
struct SmallDisk {
    content: Arc<Mutex<Cursor<Vec<u8>>>>,
    room: usize,
}

impl Write for SmallDisk {
    fn write(&mut self, data: &[u8]) -> IoResult<usize> {
        let mut content = self.content.lock().expect("not poisoned");
        if content.position() as usize + data.len() > self.room {
            return Err(Error::from(ErrorKind::StorageFull));
        }
        content.write(data)
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

impl Seek for SmallDisk {
    fn seek(&mut self, to: SeekFrom) -> IoResult<u64> {
        self.content.lock().expect("not poisoned").seek(to)
    }
}

#[test]
fn a_full_disk_is_told_once_and_leaves_a_right_file() {
    let content = Arc::new(Mutex::new(Cursor::new(Vec::new())));
    let disk = SmallDisk { content: content.clone(), room: 100_001 };
    let config = RecorderConfig { layout: Layout::Mono, ..RecorderConfig::default() };
    let (recorder, ports) =
        Recorder::to_storage(Box::new(disk), Path::new("small disk"), config).expect("the header fits");
    let mut bridge = Bridge::new(BridgeConfig::default());
    both_sides(&mut bridge, ports);
    let mut events = Vec::new();
    // The disk thread has its own pace; the bridge goes on until it has told.
    for _ in 0..2_000_000 {
        bridge.tick();
        bridge.take_events(|_, event| events.push(event));
        if events.iter().any(|event| matches!(event, PortEvent::Failed(_))) {
            break;
        }
        std::thread::yield_now();
    }
    for _ in 0..50 {
        bridge.tick();
        bridge.take_events(|_, event| events.push(event));
    }
    let failures = events.iter().filter(|event| matches!(event, PortEvent::Failed(_))).count();
    assert_eq!(failures, 1, "{events:?}");
    let summary = recorder.finish();
    assert!(summary.error.is_some() && summary.lost > 0, "{summary:?}");
    let bytes = content.lock().expect("not poisoned").get_ref().clone();
    let clip = Clip::from_bytes(&bytes).expect("the header is right");
    assert!(clip.samples().len() > 48_000 && clip.samples().len() <= 50_000, "{}", clip.samples().len());
}
