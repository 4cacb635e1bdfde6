//! sipp (Debian: sip-tester) as the one who calls.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::process;

/// What sipp does again and again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scenario {
    /// INVITE, ACK, and after a while BYE.
    Call { hold: Duration },
    /// OPTIONS out of any call.
    Options,
}

/// Who calls.
pub(crate) struct Generator {
    /// Where its files go.
    pub(crate) folder: PathBuf,
    /// Whom it calls, on 127.0.0.1.
    pub(crate) port: u16,
}

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) done: u32,
    pub(crate) failed: u32,
    /// Messages that sipp had to send again.
    pub(crate) repeated: u32,
    /// From the request to the final response, in ms, in order.
    times: Vec<f64>,
}

impl Outcome {
    /// Calls of which each took so many ms to be answered; the others failed.
    pub(crate) fn of(mut times: Vec<f64>, failed: u32) -> Self {
        times.sort_by(f64::total_cmp);
        Self { done: times.len() as u32, failed, repeated: 0, times }
    }

    /// The time below which `share` (0 to 1) of all answers came, in ms.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.times.get(at).copied().unwrap_or(0.0)
    }
}

impl Generator {
    /// Does it `count` times, `rate` times a second, and waits for the end.
    pub(crate) fn run(&self, scenario: Scenario, rate: u32, count: u32) -> Outcome {
        let (text, hold) = match scenario {
            Scenario::Call { hold } => (CALL, hold),
            Scenario::Options => (OPTIONS, Duration::ZERO),
        };
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|ending| ending == "csv") {
                let _ = fs::remove_file(entry.path());
            }
        }
        fs::write(self.folder.join("scenario.xml"), text).expect("a scenario can be written");
        let seconds = u64::from(count / rate.max(1)) + hold.as_secs();
        let mut command = Command::new("sipp");
        command.current_dir(&self.folder).env("TERM", "dumb").args([
            "-i",
            "127.0.0.1",
            "-sf",
            "scenario.xml",
        ]);
        command.args([
            "-r",
            &rate.to_string(),
            "-m",
            &count.to_string(),
            "-d",
            &hold.as_millis().to_string(),
        ]);
        command.args(["-l", &count.max(1).to_string(), "-timeout", &format!("{}s", seconds + 60)]);
        command.args(["-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_rtt", "-rtt_freq", "200"]);
        command.args(["-buff_size", "4194304", "-nostdin", &format!("127.0.0.1:{}", self.port)]);
        let status = process::run(&mut command, &self.folder, Duration::from_secs(seconds + 90));
        let mut outcome = self.outcome();
        // A generator that broke down did not do its work.
        if status.is_none() || outcome.done + outcome.failed < count {
            outcome.failed = outcome.failed.max(count.saturating_sub(outcome.done));
        }
        outcome
    }

    /// Reads what sipp has written of itself.
    fn outcome(&self) -> Outcome {
        let stat = fs::read_to_string(self.folder.join("stat.csv")).unwrap_or_default();
        let mut lines = stat.lines();
        let names: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
        let last: Vec<&str> = lines.last().unwrap_or_default().split(';').collect();
        let field = |name: &str| -> u32 {
            let at = names.iter().position(|known| *known == name);
            at.and_then(|at| last.get(at)?.parse().ok()).unwrap_or(0)
        };
        let mut times = Vec::new();
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains("_rtt") {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                times.extend(text.lines().filter_map(|line| line.split(';').nth(1)?.parse::<f64>().ok()));
            }
        }
        times.sort_by(f64::total_cmp);
        Outcome {
            done: field("SuccessfulCall(C)"),
            failed: field("FailedCall(C)"),
            repeated: field("Retransmissions(C)"),
            times,
        }
    }
}

const CALL: &str = r#"<?xml version="1.0" encoding="ISO-8859-1"?>
<scenario name="call">
<send retrans="500" start_rtd="1"><![CDATA[
INVITE sip:load@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:load@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:sipp@[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 42 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 0 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
]]></send>
<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="200" rtd="1" rrs="true"/>
<send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:load@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Content-Length: 0

]]></send>
<pause/>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:load@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"#;

const OPTIONS: &str = r#"<?xml version="1.0" encoding="ISO-8859-1"?>
<scenario name="options">
<send retrans="500" start_rtd="1"><![CDATA[
OPTIONS sip:load@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch];rport
Max-Forwards: 70
From: <sip:sipp@[local_ip]:[local_port]>;tag=[pid]-[call_number]
To: <sip:load@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Contact: <sip:sipp@[local_ip]:[local_port]>
Accept: application/sdp
Content-Length: 0

]]></send>
<recv response="200" rtd="1"/>
</scenario>
"#;
