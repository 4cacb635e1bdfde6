//! The panel as lines of text: pure, so that tests see what a terminal shows.

use std::time::SystemTime;

use ice_stun::ice::CandidateKind;
use sipsimple::session::{Direction, FileDirection};
use sipsimple::{AudioStatistics, Session, State};

use super::Quit;
use crate::output::printable;

/// Sessions that are shown whole; others are counted.
const SHOWN: usize = 4;
/// Cells of a level meter and of a progress bar.
const METER: usize = 24;
/// What the left end of a meter stands for, in dB.
const FLOOR: f32 = -60.0;

/// How lines are drawn.
pub(super) struct Paint {
    pub(super) columns: usize,
    pub(super) colour: bool,
}

/// What is shown of a session.
#[derive(Clone)]
pub(super) struct Row {
    pub(super) state: State,
    pub(super) incoming: bool,
    /// Seconds since it was established.
    pub(super) seconds: Option<u64>,
    pub(super) remote: String,
    /// `opus 48 kHz`, `SRTP`, `ICE relay`, `chat`.
    pub(super) facts: Vec<String>,
    /// `on hold`, `muted`, `recording`.
    pub(super) flags: Vec<&'static str>,
    pub(super) has_chat: bool,
    pub(super) audio: Option<AudioStatistics>,
    pub(super) files: Vec<FileRow>,
}

/// What is shown of a file transfer.
#[derive(Clone)]
pub(super) struct FileRow {
    pub(super) incoming: bool,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) size: u64,
}

impl Row {
    /// What a session says of itself.
    pub(super) fn of(session: &Session, now: SystemTime) -> Self {
        let snapshot = session.snapshot();
        let mut facts = Vec::new();
        let mut flags = Vec::new();
        if let Some(audio) = &snapshot.audio {
            if let (Some(codec), Some(rate)) = (&audio.codec, audio.sample_rate) {
                facts.push(format!("{codec} {} kHz", f64::from(rate) / 1_000.0));
                facts.push(if audio.srtp_active { "SRTP" } else { "not encrypted" }.to_owned());
            }
            match (&audio.ice_selection, &audio.ice_state) {
                (Some(pair), _) => facts.push(format!("ICE {}", way(pair.local_kind, pair.remote_kind))),
                (None, Some(state)) => facts.push(format!("ICE {}", state.name())),
                (None, None) => {}
            }
            flags.extend(audio.muted.then_some("muted"));
            flags.extend(audio.recording_file_name.is_some().then_some("recording"));
        }
        if let Some(chat) = &snapshot.chat {
            facts.push(if chat.transport.contains("TLS") { "chat TLS" } else { "chat" }.to_owned());
        }
        flags.extend(snapshot.on_hold_by_local.then_some("on hold"));
        flags.extend(snapshot.on_hold_by_remote.then_some("held by the peer"));
        let files = snapshot.files.iter().map(|file| FileRow {
            incoming: file.direction == FileDirection::Incoming,
            name: printable(file.info.name.as_deref().unwrap_or("file")),
            bytes: file.bytes,
            size: file.info.size.unwrap_or(0),
        });
        let since = |start| now.duration_since(start).unwrap_or_default().as_secs();
        Self {
            state: snapshot.state,
            incoming: snapshot.direction == Some(Direction::Incoming),
            seconds: snapshot.start_time.map(since),
            remote: printable(&snapshot.remote_uri.as_ref().map(ToString::to_string).unwrap_or_default()),
            facts,
            flags,
            has_chat: snapshot.chat.is_some(),
            audio: session.audio_statistics(),
            files: files.collect(),
        }
    }
}

fn way(local: CandidateKind, remote: CandidateKind) -> &'static str {
    match (local, remote) {
        (CandidateKind::Relayed, _) | (_, CandidateKind::Relayed) => "relay",
        (CandidateKind::Host, CandidateKind::Host) => "direct",
        _ => "through NAT",
    }
}

/// Everything; without sessions what is waited for.
pub(super) fn lines(rows: &[Row], keys: Option<Quit>, paint: &Paint) -> Vec<String> {
    let mut lines = vec![paint.style(DIM, &"─".repeat(paint.columns.min(100)))];
    if rows.is_empty() {
        let text = if keys == Some(Quit::HangsUp) { "one moment…" } else { "waiting for calls" };
        lines.push(format!("  {}", paint.style(DIM, text)));
    }
    for row in rows.iter().take(SHOWN) {
        session(row, paint, &mut lines);
    }
    if rows.len() > SHOWN {
        lines.push(paint.style(DIM, &format!("  and {} more", rows.len() - SHOWN)));
    }
    if let Some(quit) = keys {
        let end = if quit == Quit::HangsUp { "hang up" } else { "leave" };
        let talking = rows.iter().any(|row| row.state == State::Established);
        let mut keys = Vec::new();
        if talking {
            keys.extend([("h", "hold"), ("m", "mute"), ("0-9 * #", "keys")]);
            keys.extend(rows.iter().any(|row| row.has_chat).then_some(("c", "chat")));
        }
        keys.push(("q", end));
        let keys: Vec<String> =
            keys.iter().map(|(key, does)| format!("{} {does}", paint.style(BOLD, key))).collect();
        lines.push(format!("  {}", keys.join("   ")));
    }
    lines.iter().map(|line| clip(line, paint.columns)).collect()
}

/// What is being typed: its end, where it is long.
pub(super) fn input(typed: &str, paint: &Paint) -> String {
    let skipped = typed.chars().count().saturating_sub(paint.columns.saturating_sub(32).max(8));
    let end: String = typed.chars().skip(skipped).collect();
    let hint = paint.style(DIM, "   Enter sends, empty: none");
    clip(&format!("  {} {end}▏{hint}", paint.style(BOLD, ">")), paint.columns)
}

fn session(row: &Row, paint: &Paint, lines: &mut Vec<String>) {
    let (colour, mark, state) = match row.state {
        State::Established | State::Proposing | State::Proposed => {
            let seconds = row.seconds.unwrap_or(0);
            (GREEN, "●", format!("{:02}:{:02}", seconds / 60, seconds % 60))
        }
        State::Calling => (YELLOW, "○", "calling".to_owned()),
        State::Incoming => (YELLOW, "○", "ringing".to_owned()),
        State::Accepting => (YELLOW, "○", "answering".to_owned()),
        _ => (DIM, "○", "hanging up".to_owned()),
    };
    let arrow = if row.incoming { "←" } else { "→" };
    let mut line =
        format!("{} {} {arrow} {}", paint.style(colour, mark), paint.style(BOLD, &state), row.remote);
    if !row.facts.is_empty() {
        line.push_str(&paint.style(DIM, &format!("   {}", row.facts.join(" · "))));
    }
    for flag in &row.flags {
        line.push_str(&format!("   {}", paint.style(YELLOW, flag)));
    }
    lines.push(line);
    if let Some(audio) = row.audio.as_ref().filter(|_| row.seconds.is_some()) {
        lines.push(format!(
            "  heard {}   said {}",
            meter(audio.heard_db, paint),
            meter(audio.said_db, paint)
        ));
        let round_trip = audio.round_trip_ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.0} ms"));
        let stars = (audio.mos.round() as usize).clamp(1, 5);
        let dots = format!("{}{}", "●".repeat(stars), "○".repeat(5 - stars));
        let grade = if audio.mos >= 4.0 {
            GREEN
        } else if audio.mos >= 3.0 {
            YELLOW
        } else {
            RED
        };
        lines.push(format!(
            "  lost {:.1} %   jitter {:.0} ms   round trip {round_trip}   MOS {:.2} {}",
            audio.loss_percent,
            audio.jitter_ms,
            audio.mos,
            paint.style(grade, &dots),
        ));
    }
    for file in &row.files {
        lines.push(progress(file, paint));
    }
}

/// `██████▌             -23 dB`
fn meter(db: f32, paint: &Paint) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let part = ((db - FLOOR) / -FLOOR).clamp(0.0, 1.0);
    let eighths = (part * (METER * 8) as f32).round() as usize;
    let bar = format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8]);
    let blank = " ".repeat(METER - bar.chars().count());
    let colour = if db > -3.0 {
        RED
    } else if db > -12.0 {
        YELLOW
    } else {
        GREEN
    };
    let number = if db <= -90.0 { "   –   ".to_owned() } else { format!("{db:>4.0} dB") };
    format!("▕{}{blank}▏{number}", paint.style(colour, &bar))
}

/// `↑ photo.jpg  ███████             50 %  1.0 of 2.0 MB`
fn progress(file: &FileRow, paint: &Paint) -> String {
    let part =
        |of: u64| u128::from(file.bytes.min(file.size)) * u128::from(of) / u128::from(file.size.max(1));
    let filled = part(METER as u64) as usize;
    let arrow = if file.incoming { "↓" } else { "↑" };
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    format!(
        "  {arrow} {}  ▕{}{}▏{:>3} %  {:.1} of {:.1} MB",
        file.name,
        paint.style(GREEN, &"█".repeat(filled)),
        " ".repeat(METER - filled),
        part(100),
        megabytes(file.bytes),
        megabytes(file.size),
    )
}

const DIM: &str = "2";
const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

impl Paint {
    fn style(&self, style: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{style}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// As much as fits into so many columns, escape sequences not counted: a line that wraps would
/// not be taken away again.
fn clip(line: &str, columns: usize) -> String {
    let (mut kept, mut width, mut escape) = (String::with_capacity(line.len()), 0, false);
    for c in line.chars() {
        escape |= c == '\x1b';
        if escape {
            escape = c != 'm';
        } else if width < columns {
            width += 1;
        } else {
            continue;
        }
        kept.push(c);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Paint = Paint { columns: 100, colour: false };

    fn row() -> Row {
        Row {
            state: State::Established,
            incoming: false,
            seconds: Some(62),
            remote: "sip:bob@192.0.2.7".to_owned(),
            facts: vec!["opus 48 kHz".to_owned(), "SRTP".to_owned()],
            flags: vec!["muted"],
            has_chat: false,
            audio: None,
            files: vec![FileRow {
                incoming: true,
                name: "photo.jpg".to_owned(),
                bytes: 1_000_000,
                size: 2_000_000,
            }],
        }
    }

    #[test]
    fn a_session_shows_state_codec_encryption_and_files() {
        let shown = lines(&[row()], Some(Quit::HangsUp), &PLAIN);
        assert_eq!(shown[1], "● 01:02 → sip:bob@192.0.2.7   opus 48 kHz · SRTP   muted");
        assert_eq!(
            shown[2],
            format!("  ↓ photo.jpg  ▕{}{}▏ 50 %  1.0 of 2.0 MB", "█".repeat(12), " ".repeat(12))
        );
        assert_eq!(shown[3], "  h hold   m mute   0-9 * # keys   q hang up");
        let waiting = lines(&[], Some(Quit::Leaves), &PLAIN);
        assert_eq!(waiting[1..], ["  waiting for calls", "  q leave"]);
        assert_eq!(lines(&vec![row(); 6], None, &PLAIN).last().map(String::as_str), Some("  and 2 more"));
    }

    #[test]
    fn what_is_typed_stays_in_sight() {
        assert!(input("Hello", &PLAIN).starts_with("  > Hello▏"));
        let narrow = Paint { columns: 40, colour: false };
        let long = input("a very long message that does not fit", &narrow);
        assert!(long.chars().count() <= 40 && long.contains("fit▏"), "{long}");
        let chatting = Row { has_chat: true, ..row() };
        let keys = lines(&[chatting], Some(Quit::Leaves), &PLAIN);
        assert!(keys.last().is_some_and(|keys| keys.contains("c chat")), "{keys:?}");
    }

    #[test]
    fn a_meter_goes_from_its_floor_to_full_scale() {
        assert_eq!(meter(-96.0, &PLAIN), format!("▕{}▏   –   ", " ".repeat(24)));
        assert_eq!(meter(-30.0, &PLAIN), format!("▕{}{}▏ -30 dB", "█".repeat(12), " ".repeat(12)));
        assert_eq!(meter(0.0, &PLAIN), format!("▕{}▏   0 dB", "█".repeat(24)));
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_colours_take_no_room() {
        for columns in [1, 10, 40, 80] {
            for colour in [false, true] {
                for line in lines(&[row()], Some(Quit::Leaves), &Paint { columns, colour }) {
                    let mut bare = line;
                    while let Some(begin) = bare.find('\x1b') {
                        let end = begin + bare[begin..].find('m').expect("a whole sequence");
                        bare.replace_range(begin..=end, "");
                    }
                    assert!(bare.chars().count() <= columns, "{bare:?} in {columns}");
                }
            }
        }
    }

    #[test]
    fn a_file_of_no_size_and_one_that_is_more_than_whole_are_no_trouble() {
        let mut file = FileRow { incoming: false, name: "f".to_owned(), bytes: 0, size: 0 };
        assert!(progress(&file, &PLAIN).contains("  0 %"));
        (file.bytes, file.size) = (u64::MAX, 10);
        assert!(progress(&file, &PLAIN).contains("100 %"));
    }
}
