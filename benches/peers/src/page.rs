//! What was measured as a page with bars, which needs nothing else to be seen.

use std::fmt::Write;

use crate::{LIMIT, OURS};

/// A row of the table.
pub struct Row {
    /// What is done.
    pub group: &'static str,
    /// Who does it.
    pub who: &'static str,
    /// How long it takes, in nanoseconds.
    pub nanoseconds: f64,
    /// Instructions, if they were counted.
    pub instructions: Option<u64>,
}

const WIDTH: f64 = 420.0;
const LEFT: f64 = 250.0;
const STEP: f64 = 20.0;

/// A drawing for each group, in the order of the rows; `machine` is what they were measured on.
#[must_use]
pub fn page(machine: &str, rows: &[Row]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>sipsimple beside its peers</title>\n\
         <style>body{{font-family:sans-serif;margin:2rem}}figure{{display:inline-block;margin:0 2rem 1.5rem 0}}\
         figcaption{{font-weight:600}}</style>\n<h1>sipsimple beside its peers</h1>\n<p>{}. Nanoseconds, and \
         instructions in brackets: shorter is better.</p>\n",
        escape(machine)
    );
    for group in rows.chunk_by(|one, next| one.group == next.group) {
        page.push_str(&bars(group));
    }
    page + "</html>\n"
}

fn bars(rows: &[Row]) -> String {
    let longest = rows.iter().map(|row| row.nanoseconds).fold(1.0, f64::max);
    let height = STEP * rows.len() as f64;
    let mut out = format!(
        "<figure><figcaption>{}</figcaption><svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{height}\" \
         font-size=\"12\">\n",
        escape(rows.first().map_or("", |row| row.group)),
        LEFT + WIDTH + 150.0,
    );
    for (row, top) in rows.iter().zip((0..).map(|number| STEP * f64::from(number))) {
        let colour = match row.who {
            LIMIT => "#9e9e9e",
            who if who.starts_with(OURS) => "#1b6ca8",
            _ => "#c1440e",
        };
        let length = row.nanoseconds / longest * WIDTH;
        let instructions = row.instructions.map_or(String::new(), |count| format!(" ({count})"));
        // Writing to memory does not fail.
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LEFT}\" y=\"{}\" width=\"{length:.1}\" \
             height=\"{}\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{}\">{:.0}{instructions}</text>",
            LEFT - 8.0,
            top + 14.0,
            escape(row.who),
            top + 3.0,
            STEP - 6.0,
            LEFT + length + 6.0,
            top + 14.0,
            row.nanoseconds,
        );
    }
    out + "</svg></figure>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawing_for_each_group_and_a_bar_for_each_row() {
        let row = |group, who, nanoseconds| Row { group, who, nanoseconds, instructions: Some(7) };
        let rows = [row("parse", OURS, 10.0), row("parse", "other <1>", 40.0), row("print", LIMIT, 5.0)];
        let page = page("here", &rows);
        assert_eq!((page.matches("<svg").count(), page.matches("<rect").count()), (2, 3));
        let halves: Vec<bool> = ["width=\"105.0\"", "width=\"420.0\""].map(|it| page.contains(it)).into();
        assert_eq!(halves, [true, true], "the longest is full, and a quarter of it a quarter");
        assert!(page.contains("other &lt;1>"));
    }
}
