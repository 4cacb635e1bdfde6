//! The demo's report: a message ladder and plots, in one HTML file that needs nothing else.

use std::fmt::Write as _;
use std::path::PathBuf;

/// Everything that the report tells.
pub(super) struct Story {
    pub(super) capture: PathBuf,
    pub(super) sides: Vec<Side>,
    pub(super) ladder: Vec<Rung>,
    /// One row for each second.
    pub(super) statistics: Vec<Second>,
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
    /// A message from Alice to Bob.
    ToBob,
    /// A message from Bob to Alice.
    ToAlice,
    /// A notification at Alice's.
    AtAlice,
    /// A notification at Bob's.
    AtBob,
}

/// What Alice measured in one second.
#[derive(Copy, Clone, Default)]
pub(super) struct Second {
    pub(super) loss_percent: f64,
    pub(super) jitter_ms: f64,
    pub(super) mos: f64,
}

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
h1,h2{font-weight:600}svg{width:100%;height:auto;background:#fafafa;border:1px solid #ddd;border-radius:6px}\
table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:left;border-bottom:1px solid #eee}\
.note{fill:#667;font-size:11px}.msg{fill:#124;font-size:12px}.axis{fill:#889;font-size:11px}";

/// The report as HTML.
pub(super) fn html(story: &Story) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>sipsimple demo</title>",
    );
    let _ = write!(page, "<style>{STYLE}</style><h1>sipsimple demo</h1>");
    page.push_str("<h2>Recordings</h2><table><tr><th>Who<th>File<th>Seconds<th>The other side in it</tr>");
    for side in &story.sides {
        let file =
            side.recording.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let _ = write!(
            page,
            "<tr><td>{}<td><a href=\"{1}\">{1}</a><td>{2:.1}<td>median correlation {3:.3}</tr>",
            escape(side.name),
            escape(&file),
            side.seconds,
            side.correlation,
        );
    }
    page.push_str("</table>");
    for side in &story.sides {
        let _ = write!(page, "<h2>Levels at {}'s</h2>", escape(side.name));
        page.push_str(&plot(
            &[("said", "#c60", &side.said_levels), ("heard", "#06c", &side.heard_levels)],
            (-90.0, 0.0),
            0.1,
            "dB",
        ));
    }
    let series = |value: fn(&Second) -> f64| story.statistics.iter().map(value).collect::<Vec<_>>();
    let (loss, jitter, mos) = (
        series(|second| second.loss_percent),
        series(|second| second.jitter_ms),
        series(|second| second.mos),
    );
    page.push_str("<h2>Loss</h2>");
    page.push_str(&plot(&[("lost", "#b00", &loss)], (0.0, top(&loss, 5.0)), 1.0, "%"));
    page.push_str("<h2>Jitter</h2>");
    page.push_str(&plot(&[("jitter", "#860", &jitter)], (0.0, top(&jitter, 10.0)), 1.0, "ms"));
    page.push_str("<h2>Estimated quality (MOS)</h2>");
    page.push_str(&plot(&[("MOS", "#080", &mos)], (1.0, 5.0), 1.0, ""));
    page.push_str("<h2>What went over the wire, and what was told</h2>");
    page.push_str(&ladder(&story.ladder));
    page.push_str("</html>\n");
    page
}

fn top(values: &[f64], least: f64) -> f64 {
    values.iter().copied().fold(least, f64::max)
}

/// Lines over time, `step` seconds between two values.
fn plot(lines: &[(&str, &str, &[f64])], (low, high): (f64, f64), step: f64, unit: &str) -> String {
    let (width, height, left) = (800.0, 160.0, 46.0);
    let longest = lines.iter().map(|(_, _, values)| values.len()).max().unwrap_or(0).max(2);
    let x = |index: usize| left + (width - left - 8.0) * index as f64 / (longest - 1) as f64;
    let y = |value: f64| 8.0 + (height - 28.0) * (1.0 - (value.clamp(low, high) - low) / (high - low));
    let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\">");
    for value in [low, f64::midpoint(low, high), high] {
        let at = y(value);
        let _ = write!(
            svg,
            "<line x1=\"{left}\" x2=\"{width}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e4e4e4\"/>\
             <text class=\"axis\" x=\"4\" y=\"{:.1}\">{value:.1} {unit}</text>",
            at + 4.0,
        );
    }
    for (number, (name, colour, values)) in lines.iter().enumerate() {
        let points: String = values
            .iter()
            .enumerate()
            .map(|(index, value)| format!("{:.1},{:.1} ", x(index), y(*value)))
            .collect();
        let _ = write!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\" points=\"{points}\"/>\
             <text class=\"axis\" x=\"{}\" y=\"{}\" style=\"fill:{colour}\">{name}</text>",
            left + 8.0 + 60.0 * number as f64,
            height - 6.0,
        );
    }
    let _ = write!(
        svg,
        "<text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{:.1} s</text></svg>",
        width - 8.0,
        height - 6.0,
        step * (longest - 1) as f64,
    );
    svg
}

/// The ladder: Alice left, Bob right, time downwards.
fn ladder(rungs: &[Rung]) -> String {
    let (width, alice, bob, row) = (800.0, 250.0, 550.0, 20.0);
    let height = 50.0 + row * rungs.len() as f64;
    let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" role=\"img\">");
    for (x, name) in [(alice, "Alice"), (bob, "Bob")] {
        let _ = write!(
            svg,
            "<text class=\"msg\" x=\"{x}\" y=\"18\" text-anchor=\"middle\">{name}</text>\
             <line x1=\"{x}\" x2=\"{x}\" y1=\"26\" y2=\"{height}\" stroke=\"#bbb\"/>",
        );
    }
    for (index, rung) in rungs.iter().enumerate() {
        let y = 44.0 + row * index as f64;
        let text = escape(&rung.text);
        let _ = write!(svg, "<text class=\"axis\" x=\"4\" y=\"{:.1}\">{:.3}</text>", y + 4.0, rung.at);
        let _ = match rung.kind {
            Kind::ToBob | Kind::ToAlice => {
                let (from, to) = if rung.kind == Kind::ToBob { (alice, bob) } else { (bob, alice) };
                let head = if rung.kind == Kind::ToBob { to - 7.0 } else { to + 7.0 };
                write!(
                    svg,
                    "<line x1=\"{from}\" x2=\"{to}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#124\"/>\
                     <path d=\"M{to} {y} L{head} {:.1} L{head} {:.1} Z\" fill=\"#124\"/>\
                     <text class=\"msg\" x=\"{}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                    y - 4.0,
                    y + 4.0,
                    f64::midpoint(alice, bob),
                    y - 4.0,
                )
            }
            Kind::AtAlice => write!(
                svg,
                "<text class=\"note\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                alice - 8.0,
                y + 4.0,
            ),
            Kind::AtBob => {
                write!(svg, "<text class=\"note\" x=\"{}\" y=\"{:.1}\">{text}</text>", bob + 8.0, y + 4.0)
            }
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

    #[test]
    fn the_report_shows_every_rung_and_escapes_it() {
        let ladder = vec![
            Rung { at: 0.5, kind: Kind::ToBob, text: "INVITE <sip:bob@x>".to_owned() },
            Rung { at: 0.6, kind: Kind::AtBob, text: "SCSessionNewIncoming".to_owned() },
        ];
        let story = Story { capture: PathBuf::new(), sides: Vec::new(), ladder, statistics: Vec::new() };
        let page = html(&story);
        assert!(page.contains("INVITE &lt;sip:bob@x&gt;") && page.contains("SCSessionNewIncoming"), "{page}");
        assert!(page.matches("<svg").count() >= 4, "three plots and the ladder");
    }
}
