//! Lines over an axis, as SVG.

use std::fmt::Write;

/// A subject's points, from left to right.
pub(crate) struct Line {
    pub(crate) name: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 50.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 110.0;
const COLOURS: [&str; 6] = ["#1b6ca8", "#c1440e", "#2e7d32", "#7b1fa2", "#a67c00", "#455a64"];

/// A drawing with both axes from zero.
pub(crate) fn plot(title: &str, across: &str, lines: &[Line]) -> String {
    let points = || lines.iter().flat_map(|line| &line.points);
    let most = |part: fn(&(f64, f64)) -> f64| round_up(points().map(part).fold(0.0, f64::max));
    let (right, top) = (most(|point| point.0), most(|point| point.1));
    let x = |value: f64| LEFT + value / right * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - BOTTOM - TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\"{LEFT}\" y=\"24\" \
         font-size=\"15\">{title}</text>\n"
    );
    // Writing to memory does not fail.
    for step in 0..=4 {
        let (across, up) = (right * f64::from(step) / 4.0, top * f64::from(step) / 4.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {0:.1}H{1:.1}\" stroke=\"#ddd\"/><text x=\"{2}\" y=\"{3:.1}\" \
             text-anchor=\"end\">{up}</text><text x=\"{4:.1}\" y=\"{5}\" text-anchor=\"middle\">{across}</text>",
            y(up),
            WIDTH - RIGHT,
            LEFT - 6.0,
            y(up) + 4.0,
            x(across),
            HEIGHT - BOTTOM + 18.0,
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{across}</text>",
        x(right / 2.0),
        HEIGHT - 10.0
    );
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let path: Vec<String> =
            line.points.iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            path.join(" ")
        );
        for (a, b) in &line.points {
            let _ =
                writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(*a), y(*b));
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            WIDTH - RIGHT + 10.0,
            TOP + 16.0 * number as f64,
            line.name
        );
    }
    svg + "</svg>\n"
}

/// 1, 2, 4 or 8 times a power of ten, not below `value`.
fn round_up(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10.0_f64.powf(value.log10().floor());
    [1.0, 2.0, 4.0, 8.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|limit| *limit >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!(
            [0.0, 0.7, 3.0, 81.0, 1_000.0, 3_000.0].map(round_up),
            [1.0, 0.8, 4.0, 100.0, 1_000.0, 4_000.0]
        );
    }

    #[test]
    fn every_point_is_drawn() {
        let line = Line { name: "one", points: vec![(1.0, 2.0), (2.0, 4.0)] };
        let svg = plot("t", "a", &[line]);
        assert_eq!(svg.matches("<circle").count(), 2);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}
