//! A browser (Debian: chromium) that shows a page with JsSIP, driven by `browser/drive.mjs`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::process::{Running, left_out, until, wait_until_connectable};
use crate::sound::Sound;

/// A browser on its way through one call.
pub(crate) struct Browser {
    running: Running,
    heard: PathBuf,
}

/// One call of the page.
pub(crate) struct Plan<'a> {
    /// The WebSocket of the SIP server.
    pub(crate) server: String,
    /// Who it is.
    pub(crate) uri: &'a str,
    /// With one it registers.
    pub(crate) password: Option<&'a str>,
    /// Whom it calls; without it waits to be called.
    pub(crate) target: Option<String>,
    /// Whether it ends the call.
    pub(crate) hangs_up: bool,
}

impl Browser {
    /// Starts it; `None`, and loudly so, where there is none.
    pub(crate) fn start(folder: &Path, plan: &Plan<'_>, speech: &Sound) -> Option<Self> {
        let Some(driver) = std::env::var_os("BROWSER_DRIVER").map(PathBuf::from) else {
            left_out("there is no browser to drive (Debian: chromium; and npm), see ./dev interop");
            return None;
        };
        let program = ["chromium", "chromium-browser"].into_iter().find_map(found)?;
        let (playing, heard) = (folder.join("browser-speech.wav"), folder.join("browser-heard.wav"));
        speech.write(&playing);
        let options = json!({
            "browser": program,
            "speech": playing,
            "heard": heard,
            "server": plan.server,
            "uri": plan.uri,
            "password": plan.password,
            "target": plan.target,
            "seconds": 12,
            "hangUp": plan.hangs_up,
        });
        let mut command = Command::new("node");
        command.arg(driver.join("drive.mjs")).arg(options.to_string()).current_dir(folder);
        Some(Self { running: Running::start(&mut command, folder, "browser"), heard })
    }

    /// Waits until it tells this: `ready` when it is registered, `heard` when all is done but to hang up.
    pub(crate) fn wait_for(&self, event: &str) {
        let told = until(Duration::from_secs(120), || !self.told(event).is_empty());
        assert!(told, "the browser is not {event}: {}", self.running.stderr());
    }

    /// Waits for the end of its call, which has to be a good one.
    pub(crate) fn finish(&mut self) {
        let status = self.running.wait(Duration::from_secs(180));
        assert!(status.success(), "the browser: {}\n{}", self.running.stdout(), self.running.stderr());
        assert_eq!(self.told("done").len(), 1);
    }

    /// What of this kind it told.
    pub(crate) fn told(&self, event: &str) -> Vec<Value> {
        let lines = self.running.stdout();
        let values = lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values.filter(|value| value["event"] == event).collect()
    }

    pub(crate) fn heard(&self) -> Sound {
        Sound::read(&self.heard)
    }
}

fn found(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A proxy that browsers register with over a WebSocket, and others reach over UDP at the same port.
pub(crate) fn proxy(folder: &Path, port: u16) -> Option<Running> {
    const MODULES: &str = "/usr/lib/x86_64-linux-gnu/kamailio/modules/";
    if !Path::new(MODULES).join("websocket.so").exists() {
        left_out("there is no kamailio with WebSockets (Debian: kamailio kamailio-websocket-modules)");
        return None;
    }
    let modules = [
        "kex",
        "corex",
        "tm",
        "sl",
        "rr",
        "pv",
        "maxfwd",
        "textops",
        "siputils",
        "usrloc",
        "registrar",
        "nathelper",
        "xhttp",
        "websocket",
    ];
    let modules: String = modules.map(|module| format!("loadmodule \"{module}.so\"\n")).concat();
    let config = format!(
        "#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
alias=\"test.local\"
tcp_accept_no_cl=yes
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
mpath=\"{MODULES}\"
{modules}
modparam(\"usrloc\", \"db_mode\", 0)
modparam(\"nathelper|registrar\", \"received_avp\", \"$avp(RECEIVED)\")
request_route {{
    if (!mf_process_maxfwd_header(\"10\")) {{ sl_send_reply(\"483\", \"Too Many Hops\"); exit; }}
    if (is_method(\"CANCEL\")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if ($proto == \"ws\" && !is_method(\"REGISTER\")) {{ add_contact_alias(); }}
    if (has_totag()) {{
        if (loose_route()) {{ handle_ruri_alias(); t_relay(); exit; }}
        if (is_method(\"ACK\") && t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    t_check_trans();
    remove_hf(\"Route\");
    if (is_method(\"REGISTER\")) {{ fix_nated_register(); save(\"location\"); exit; }}
    record_route();
    if (!lookup(\"location\")) {{ sl_send_reply(\"404\", \"Not Found\"); exit; }}
    handle_ruri_alias();
    t_on_reply(\"BROWSER\");
    t_relay();
}}
onreply_route[BROWSER] {{
    if ($proto == \"ws\") {{ add_contact_alias(); }}
}}
event_route[xhttp:request] {{
    if ($hdr(Upgrade) =~ \"websocket\" && $rm =~ \"GET\") {{ ws_handle_handshake(); exit; }}
    xhttp_reply(\"404\", \"Not Found\", \"\", \"\");
}}
"
    );
    let file = folder.join("websockets.cfg");
    std::fs::write(&file, config).expect("the disk has room");
    let mut command = Command::new("kamailio");
    command.args(["-DD", "-E", "-m", "32", "-M", "4", "-f"]).arg(&file).arg("-Y").arg(folder);
    let running = Running::start(&mut command, folder, "websockets");
    wait_until_connectable(port);
    Some(running)
}
