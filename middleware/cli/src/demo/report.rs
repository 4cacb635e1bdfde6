//! The demo's report: what happened, a message ladder and plots, in one HTML file that needs nothing else.

use std::fmt::Write as _;
use std::path::PathBuf;

/// Everything that the report tells.
#[derive(Default)]
pub(super) struct Story {
    pub(super) capture: PathBuf,
    pub(super) sides: Vec<Side>,
    pub(super) ladder: Vec<Rung>,
    /// One row for each second.
    pub(super) statistics: Vec<Second>,
    /// What is worth knowing at a glance: a name and a value each.
    pub(super) facts: Vec<(&'static str, String)>,
    /// The file that was sent, where it arrived.
    pub(super) received: Option<String>,
}

/// One agent and its recording.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) heard: &'static str,
    pub(super) recording: PathBuf,
    pub(super) seconds: f64,
    pub(super) correlation: f64,
    /// RMS in dB below full scale every 100 ms: what it said, and what it heard.
    pub(super) said_levels: Vec<f64>,
    pub(super) heard_levels: Vec<f64>,
}

/// One line of the ladder.
pub(super) struct Rung {
    /// Seconds since the demo began.
    pub(super) at: f64,
    pub(super) kind: Kind,
    pub(super) text: String,
}

/// What a line of the ladder is.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message between Alice and somebody.
    Message {
        /// With Bob himself, and not with the server.
        with_bob: bool,
        /// From Alice.
        sent: bool,
        /// `sip`, `msrp` or `stun`.
        protocol: &'static str,
    },
    /// A notification at Alice's.
    AtAlice,
    /// A notification at Bob's.
    AtBob,
    /// What the demo does next.
    Step,
}

/// What Alice measured in one second.
#[derive(Copy, Clone, Default)]
pub(super) struct Second {
    pub(super) loss_percent: f64,
    pub(super) jitter_ms: f64,
    pub(super) mos: f64,
}

const STYLE: &str = include_str!("report.css");

/// The report as HTML.
pub(super) fn html(story: &Story) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>sipsimple demo</title>",
    );
    let _ = write!(
        page,
        "<style>{STYLE}</style><header><h1>sipsimple demo</h1><p>Alice and Bob registered, called, talked, \
         chatted and sent a file: two whole agents on this machine, a registrar and a relay between them.</p></header><main>"
    );
    page.push_str("<div class=\"facts\">");
    for (name, value) in &story.facts {
        let _ = write!(page, "<div><b>{}</b><span>{}</span></div>", escape(value), escape(name));
    }
    page.push_str("</div>");
    recordings(story, &mut page);
    page.push_str("<div class=\"plots\">");
    for side in &story.sides {
        let lines: &[Line<'_>] = &[("said", "a", &side.said_levels), ("heard", "b", &side.heard_levels)];
        page.push_str(&plot(&format!("Levels at {}'s", side.name), lines, (-80.0, 0.0), 0.1, "dB"));
    }
    let series = |value: fn(&Second) -> f64| story.statistics.iter().map(value).collect::<Vec<_>>();
    let (loss, jitter, mos) = (
        series(|second| second.loss_percent),
        series(|second| second.jitter_ms),
        series(|second| second.mos),
    );
    page.push_str(&plot("Packets lost", &[("lost", "c", &loss)], (0.0, top(&loss, 5.0)), 1.0, "%"));
    page.push_str(&plot("Jitter", &[("jitter", "d", &jitter)], (0.0, top(&jitter, 10.0)), 1.0, "ms"));
    page.push_str(&plot("Estimated quality (MOS)", &[("MOS", "e", &mos)], (1.0, 5.0), 1.0, ""));
    page.push_str(
        "</div><h2>What went over the wire, and what was told</h2><p class=\"legend\">\
        Messages as Alice sent and received them: <i class=\"sip\"></i> SIP <i class=\"msrp\"></i> MSRP \
        <i class=\"stun\"></i> STUN. Beside them the notifications that each application got.</p>",
    );
    page.push_str(&ladder(&grouped(&story.ladder)));
    page.push_str("</main></html>\n");
    page
}

fn recordings(story: &Story, page: &mut String) {
    page.push_str(
        "<h2>What they heard</h2><table><tr><th>At<th>Recording<th>Length<th>How much of what the other said is in it</tr>",
    );
    for side in &story.sides {
        let file =
            side.recording.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{0}<td><a href=\"{1}\">{1}</a><br><audio controls preload=\"none\" src=\"{1}\"></audio><td>{2:.1} s\
             <td>{3}'s speech, correlation {4:.3}</tr>",
            escape(side.name),
            escape(&file),
            side.seconds,
            escape(side.heard),
            side.correlation,
        );
    }
    page.push_str("</table><p class=\"legend\">");
    if let Some(received) = &story.received {
        let _ = write!(page, "The file that Bob received: <a href=\"{0}\">{0}</a>. ", escape(received));
    }
    let capture =
        story.capture.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let _ = write!(page, "The capture, for Wireshark: <a href=\"{0}\">{0}</a>.</p>", escape(&capture));
}

fn top(values: &[f64], least: f64) -> f64 {
    values.iter().copied().fold(least, f64::max)
}

/// Name, class and values.
type Line<'a> = (&'a str, &'a str, &'a [f64]);

/// Lines over time, `step` seconds between two values.
fn plot(title: &str, lines: &[Line<'_>], (low, high): (f64, f64), step: f64, unit: &str) -> String {
    let (width, height, left, right, head) = (520.0, 180.0, 52.0, 12.0, 12.0);
    let longest = lines.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0).max(2);
    let x = |index: usize| left + (width - left - right) * index as f64 / (longest - 1) as f64;
    let y =
        |value: f64| head + (height - head - 28.0) * (1.0 - (value.clamp(low, high) - low) / (high - low));
    let mut svg = format!("<figure><figcaption>{}", escape(title));
    for (name, class, _) in lines.iter().filter(|_| lines.len() > 1) {
        let _ = write!(svg, " <span class=\"{class}\">{name}</span>");
    }
    let _ = write!(svg, "</figcaption><svg viewBox=\"0 0 {width} {height}\" role=\"img\">");
    for part in 0..=4 {
        let value = low + (high - low) * f64::from(part) / 4.0;
        let at = y(value);
        let digits = usize::from(high - low <= 10.0);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{left}\" x2=\"{}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>\
             <text class=\"axis\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value:.digits$} {unit}</text>",
            width - right,
            left - 6.0,
            at + 4.0,
        );
    }
    for (_, class, values) in lines {
        let points: String = values
            .iter()
            .enumerate()
            .map(|(index, value)| format!("{:.1},{:.1} ", x(index), y(*value)))
            .collect();
        let (first, last, floor) = (x(0), x(values.len().saturating_sub(1)), y(low));
        let _ = write!(
            svg,
            "<polygon class=\"{class}\" points=\"{first:.1},{floor:.1} {points}{last:.1},{floor:.1}\"/>\
             <polyline class=\"{class}\" points=\"{points}\"/>",
        );
    }
    let length = step * (longest - 1) as f64;
    for part in 0..=4 {
        let part = f64::from(part) / 4.0;
        let _ = write!(
            svg,
            "<text class=\"axis\" x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{:.0} s</text>",
            left + (width - left - right) * part,
            height - 6.0,
            length * part,
        );
    }
    svg.push_str("</svg></figure>");
    svg
}

/// Many messages of STUN in a row are one line: they are many.
fn grouped(rungs: &[Rung]) -> Vec<Rung> {
    let mut kept: Vec<(Rung, usize)> = Vec::new();
    for rung in rungs {
        let is_stun = matches!(rung.kind, Kind::Message { protocol: "stun", .. });
        match kept.last_mut() {
            Some((last, count)) if is_stun && same_ends(last.kind, rung.kind) => *count += 1,
            _ => kept.push((Rung { at: rung.at, kind: rung.kind, text: rung.text.clone() }, 1)),
        }
    }
    let tell = |(rung, count): (Rung, usize)| match count {
        1 => rung,
        count => Rung { text: format!("{} and {} more", rung.text, count - 1), ..rung },
    };
    kept.into_iter().map(tell).collect()
}

fn same_ends(one: Kind, other: Kind) -> bool {
    match (one, other) {
        (
            Kind::Message { protocol: "stun", with_bob, .. },
            Kind::Message { protocol: "stun", with_bob: other, .. },
        ) => with_bob == other,
        _ => false,
    }
}

/// The ladder: Alice left, the server in the middle, Bob right, time downwards.
fn ladder(rungs: &[Rung]) -> String {
    let (width, alice, server, bob, row) = (1_100.0, 300.0, 550.0, 800.0, 24.0);
    let height = 30.0 + row * (rungs.len() + 1) as f64;
    let mut svg = format!("<svg class=\"ladder\" viewBox=\"0 0 {width} {height}\" role=\"img\">");
    for (x, name) in [(alice, "Alice"), (server, "registrar, relay"), (bob, "Bob")] {
        let _ = write!(
            svg,
            "<text class=\"who\" x=\"{x}\" y=\"18\" text-anchor=\"middle\">{name}</text>\
             <line class=\"life\" x1=\"{x}\" x2=\"{x}\" y1=\"28\" y2=\"{height}\"/>",
        );
    }
    for (index, rung) in rungs.iter().enumerate() {
        let y = 50.0 + row * index as f64;
        let text = escape(&rung.text);
        if rung.kind == Kind::Step {
            let _ = write!(
                svg,
                "<rect class=\"step\" x=\"0\" y=\"{:.1}\" width=\"{width}\" height=\"{row}\"/>\
                 <text class=\"step\" x=\"56\" y=\"{:.1}\">{text}</text>",
                y - row / 2.0,
                y + 4.0,
            );
        }
        let _ = write!(svg, "<text class=\"axis\" x=\"6\" y=\"{:.1}\">{:.3}</text>", y + 4.0, rung.at);
        let _ = match rung.kind {
            Kind::Message { with_bob, sent, protocol } => {
                let other = if with_bob { bob } else { server };
                let (from, to) = if sent { (alice, other) } else { (other, alice) };
                let head = if sent { to - 8.0 } else { to + 8.0 };
                write!(
                    svg,
                    "<g class=\"{protocol}\"><line x1=\"{from}\" x2=\"{to}\" y1=\"{y}\" y2=\"{y}\"/>\
                     <path d=\"M{to} {y} L{head} {:.1} L{head} {:.1} Z\"/>\
                     <text x=\"{}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text></g>",
                    y - 4.0,
                    y + 4.0,
                    f64::midpoint(alice, other),
                    y - 4.0,
                )
            }
            Kind::AtAlice => write!(
                svg,
                "<text class=\"note\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                alice - 10.0,
                y + 4.0,
            ),
            Kind::AtBob => {
                write!(svg, "<text class=\"note\" x=\"{}\" y=\"{:.1}\">{text}</text>", bob + 10.0, y + 4.0)
            }
            Kind::Step => Ok(()),
        };
    }
    svg.push_str("</svg>");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(protocol: &'static str, with_bob: bool, text: &str) -> Rung {
        Rung { at: 0.5, kind: Kind::Message { with_bob, sent: true, protocol }, text: text.to_owned() }
    }

    #[test]
    fn the_report_shows_every_rung_and_escapes_it() {
        let ladder = vec![
            Rung { at: 0.1, kind: Kind::Step, text: "Alice calls".to_owned() },
            message("sip", false, "INVITE <sip:bob@x>"),
            Rung { at: 0.6, kind: Kind::AtBob, text: "SCSessionNewIncoming".to_owned() },
        ];
        let page = html(&Story { ladder, ..Story::default() });
        for text in ["INVITE &lt;sip:bob@x&gt;", "SCSessionNewIncoming", "Alice calls"] {
            assert!(page.contains(text), "{text} is not in {page}");
        }
        assert!(page.matches("<svg").count() >= 4, "three plots and the ladder");
    }

    #[test]
    fn stun_in_a_row_is_one_line() {
        let stun = || message("stun", true, "Binding request");
        let rungs =
            [stun(), stun(), stun(), message("stun", false, "Binding request"), message("sip", true, "BYE")];
        let texts: Vec<String> = grouped(&rungs).into_iter().map(|rung| rung.text).collect();
        assert_eq!(texts, ["Binding request and 2 more", "Binding request", "BYE"]);
    }
}
