//! Who is called: ours, and the peers that this machine has.

use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A user agent that is put under load.
pub(crate) struct Subject {
    kind: Kind,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `sipsimple listen`: sessions, notifications, a socket pair and a bridge for each call.
    Listen,
    /// sip-core's example `answering`, built with an allocator that gives memory back: signalling alone.
    Answering,
    /// rsipstack's own benchmark as a server: signalling alone.
    Rsipstack,
    /// kamailio with a script that answers in transactions, signalling alone.
    Kamailio,
    /// baresip, which has media and a loop of one thread.
    Baresip,
}

impl Subject {
    pub(crate) fn all() -> Vec<Self> {
        let kinds = [Kind::Answering, Kind::Listen, Kind::Rsipstack, Kind::Kamailio, Kind::Baresip];
        kinds.map(|kind| Self { kind, port: free_port() }).into()
    }

    pub(crate) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Listen => "listen",
            Kind::Answering => "answering",
            Kind::Rsipstack => "rsipstack",
            Kind::Kamailio => "kamailio",
            Kind::Baresip => "baresip",
        }
    }

    pub(crate) fn about(&self) -> &'static str {
        match self.kind {
            Kind::Listen => "sipsimple listen: sessions with media",
            Kind::Answering => "sip-core's example: signalling alone",
            Kind::Rsipstack => "bench_ua, its own benchmark: signalling alone",
            Kind::Kamailio => "a script that answers in transactions: signalling alone",
            Kind::Baresip => "calls with media",
        }
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.kind, Kind::Listen | Kind::Answering)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Calls a second that are worth trying.
    pub(crate) fn most(&self) -> u32 {
        if self.kind == Kind::Baresip { 100 } else { u32::MAX }
    }

    /// Calls at one time that are worth trying; kamailio keeps none.
    pub(crate) fn most_held(&self) -> u32 {
        match self.kind {
            Kind::Kamailio => 0,
            Kind::Baresip => 200,
            Kind::Listen | Kind::Answering | Kind::Rsipstack => u32::MAX,
        }
    }

    pub(crate) fn answers_options(&self) -> bool {
        self.kind != Kind::Rsipstack
    }

    /// Whether it can be run here, or what is missing.
    pub(crate) fn available(&self) -> Result<(), String> {
        let program = self.program();
        let found = if program.is_absolute() { program.exists() } else { in_path(&program) };
        if found { Ok(()) } else { Err(format!("there is no {}", program.display())) }
    }

    fn program(&self) -> PathBuf {
        let built = |name: &str| {
            let mine = std::env::current_exe().expect("this program has a path");
            mine.parent().expect("it is in a folder").join(name)
        };
        match self.kind {
            Kind::Listen => built("sipsimple"),
            Kind::Answering => built("examples/signalling"),
            // Where `./dev load` has cargo install it.
            Kind::Rsipstack => built("../peers/bin/bench_ua"),
            Kind::Kamailio => "kamailio".into(),
            Kind::Baresip => "baresip".into(),
        }
    }

    pub(crate) fn command(&self, folder: &Path) -> Command {
        let port = self.port;
        let mut command = Command::new(self.program());
        match self.kind {
            Kind::Listen => {
                command.args(["listen", "--bind", "127.0.0.1", "--transport", "udp", "--device", "null"]);
                command.args(["--codecs", "pcmu", "--port", &port.to_string()]);
            }
            Kind::Answering => {
                command.arg(format!("127.0.0.1:{port}"));
            }
            Kind::Rsipstack => {
                command.args(["--mode", "server", "--port", &port.to_string()]);
            }
            Kind::Kamailio => {
                let config = folder.join("kamailio.cfg");
                let text = KAMAILIO.replace("@PORT@", &port.to_string());
                fs::write(&config, text).expect("a configuration can be written");
                command.args(["-DD", "-E", "-m", "512", "-M", "64", "-f"]).arg(config).arg("-Y").arg(folder);
            }
            Kind::Baresip => {
                let text = BARESIP.replace("@PORT@", &port.to_string());
                fs::write(folder.join("config"), text).expect("a configuration can be written");
                fs::write(
                    folder.join("accounts"),
                    "<sip:load@127.0.0.1>;regint=0;answermode=auto;audio_codecs=PCMU\n",
                )
                .expect("an account can be written");
                fs::write(folder.join("contacts"), "").expect("contacts can be written");
                command.arg("-f").arg(folder);
            }
        }
        command
    }
}

fn in_path(program: &Path) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian has servers where only root's path leads.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    folders.map(|folder| folder.join(program)).any(|file| file.exists())
}

fn free_port() -> u16 {
    let socket = UdpSocket::bind(("127.0.0.1", 0)).expect("a socket");
    socket.local_addr().expect("a bound socket").port()
}

/// Two processes for two cores; no log; each request in a transaction, as a user agent has it.
const KAMAILIO: &str = r#"#!KAMAILIO
debug=0
log_stderror=yes
children=2
disable_tcp=yes
auto_aliases=no
listen=udp:127.0.0.1:@PORT@
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "textopsx.so"
request_route {
    if (is_method("ACK")) { exit; }
    if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
    if (!t_newtran()) { exit; }
    if (is_method("INVITE")) {
        t_reply("180", "Ringing");
        append_to_reply("Contact: <sip:load@127.0.0.1:@PORT@>\r\nContent-Type: application/sdp\r\n");
        set_reply_body("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n", "application/sdp");
    }
    t_reply("200", "OK");
}
"#;

const BARESIP: &str = "\
sip_listen 127.0.0.1:@PORT@
call_max_calls 1000
call_local_timeout 120
audio_player aubridge,null
audio_source aubridge,null
audio_alert aubridge,null
module_path /usr/lib/baresip/modules
module g711.so
module aubridge.so
module_app account.so
module_app menu.so
rtp_ports 20000-40000
";
