//! `sipsimple demo`: two agents on this machine meet, talk, chat and part.
//!
//! Nothing is staged: both are whole applications with sockets of their own on the loopback
//! interface, and every line printed is a notification as it came.

mod agent;
mod registrar;
mod report;
mod steps;
mod stun;

#[cfg(test)]
pub(crate) use stun::RunningStun;

use std::sync::Arc;

use crate::Failure;
use crate::arguments::Demo;
use crate::output::Output;

/// Runs the demo, and says where it left what it made.
pub(crate) async fn run(options: Demo, output: &Arc<Output>) -> Result<(), Failure> {
    std::fs::create_dir_all(&options.out)
        .map_err(|error| Failure::Failed(format!("--out {}: {error}", options.out.display())))?;
    let story = steps::play(&options, output).await?;
    let path = options.out.join("report.html");
    std::fs::write(&path, report::html(&story))
        .map_err(|error| Failure::Failed(format!("{}: {error}", path.display())))?;
    for side in &story.sides {
        output.remark(&format!(
            "{} recorded {} ({:.1} s); {} in it: median correlation {:.3}",
            side.name,
            side.recording.display(),
            side.seconds,
            side.heard,
            side.correlation,
        ));
    }
    output.remark(&format!("the capture is {}", story.capture.display()));
    output.remark(&format!("the report is {}", path.display()));
    Ok(())
}
