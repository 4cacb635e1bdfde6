//! How long a program takes to answer on its port, from when it is executed.
#![expect(clippy::disallowed_methods, reason = "real programs take real time")]

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::process::{Program, pause};

/// Between two looks at whether it answers.
const LOOK: Duration = Duration::from_micros(500);

/// Starts it that many times, one after the other: the times until it answers OPTIONS, in ms, in order.
pub(crate) fn starts(mut command: impl FnMut() -> Command, port: u16, folder: &Path, count: u32) -> Vec<f64> {
    let mut times: Vec<f64> = (0..count).map(|_| start(&mut command(), port, folder)).collect();
    times.sort_by(f64::total_cmp);
    times
}

fn start(command: &mut Command, port: u16, folder: &Path) -> f64 {
    while UdpSocket::bind(("127.0.0.1", port)).is_err() {
        // The one before has not let go of it yet.
        pause(LOOK);
    }
    let log = std::fs::File::create(folder.join("start.log")).expect("a log can be written");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.connect(("127.0.0.1", port)).expect("the loopback interface is there");
    socket.set_nonblocking(true).expect("it can be asked");
    let (own, mut answer) = (socket.local_addr().expect("a bound socket"), [0; 2_048]);
    let begin = Instant::now();
    let program = Program::spawn(command);
    for number in 0.. {
        let request = format!(
            "OPTIONS sip:load@127.0.0.1:{port} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK{0}s{number}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:load@127.0.0.1>;tag={number}\r\nTo: <sip:load@127.0.0.1:{port}>\r\n\
             Call-ID: {0}-{number}@load\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            own.port()
        );
        // Until somebody listens the system says that nobody does.
        let _ = socket.send(request.as_bytes());
        pause(LOOK);
        if socket.recv(&mut answer).is_ok_and(|length| answer.get(..length).is_some_and(is_answer)) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{command:?} does not answer on {port}");
    }
    let time = begin.elapsed().as_secs_f64() * 1_000.0;
    program.end_now();
    time
}

fn is_answer(data: &[u8]) -> bool {
    data.starts_with(b"SIP/2.0 ")
}
