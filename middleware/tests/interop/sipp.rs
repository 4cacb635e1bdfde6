//! sipp (Debian: sip-tester), with the scenarios that are built into it.

use std::process::Command;
use std::time::Duration;

use crate::process::{Running, wait_until_bound};

/// Calls `count` times at `rate` a second; every call must succeed.
pub(crate) fn uac(port: u16, count: u32, rate: u32) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = sipp(folder.path());
    command.args(["-sn", "uac", "-d", "300", "-timeout", "120s", "-trace_err"]).args([
        "-m",
        &count.to_string(),
        "-r",
        &rate.to_string(),
        &format!("127.0.0.1:{port}"),
    ]);
    let mut running = Running::start(&mut command, folder.path(), "sipp-uac");
    let status = running.wait(Duration::from_secs(150));
    assert!(status.success(), "sipp's uac ended with {status}, so some call failed");
}

/// Calls through proxies; how many calls failed.
pub(crate) fn calls_through_a_proxy(port: u16, count: u32, rate: u32) -> u32 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let scenario = folder.path().join("scenario.xml");
    std::fs::write(&scenario, include_str!("through-proxy.xml")).expect("the disk has room");
    let mut command = sipp(folder.path());
    command.arg("-sf").arg(scenario);
    command.args([
        "-timeout",
        "90s",
        "-trace_err",
        "-error_file",
        "errors.log",
        "-trace_stat",
        "-stf",
        "stat.csv",
        "-fd",
        "1",
    ]);
    command.args(["-m", &count.to_string(), "-r", &rate.to_string(), &format!("127.0.0.1:{port}")]);
    let mut running = Running::start(&mut command, folder.path(), "sipp-uac");
    running.wait(Duration::from_secs(120));
    let stat = std::fs::read_to_string(folder.path().join("stat.csv")).expect("its statistics");
    let mut lines = stat.lines().filter(|line| !line.is_empty());
    let names = lines.next().expect("a head").split(';');
    let last = lines.next_back().expect("a line").split(';');
    let value = |name: &str| {
        let mut pairs = names.clone().zip(last.clone());
        let found = pairs.find(|(known, _)| *known == name).and_then(|(_, value)| value.parse::<u32>().ok());
        found.unwrap_or_else(|| panic!("no {name} in {stat}"))
    };
    assert_eq!(value("TotalCallCreated"), count, "all calls were made");
    if let Ok(errors) = std::fs::read_to_string(folder.path().join("errors.log")) {
        errors
            .lines()
            .filter(|line| !line.trim().is_empty())
            .take(40)
            .for_each(|line| println!("sipp: {line}"));
    }
    value("FailedCall(C)")
}

/// Answers calls at `port` until `count` are through.
pub(crate) fn uas(port: u16, count: u32) -> (Running, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = sipp(folder.path());
    command.args(["-sn", "uas", "-timeout", "120s", "-p", &port.to_string(), "-m", &count.to_string()]);
    let running = Running::start(&mut command, folder.path(), "sipp-uas");
    wait_until_bound(port);
    (running, folder)
}

fn sipp(folder: &std::path::Path) -> Command {
    let mut command = Command::new("sipp");
    // It leaves files where it runs, and draws on whatever terminal it believes in.
    command.current_dir(folder).env("TERM", "dumb").args(["-i", "127.0.0.1"]);
    command
}
