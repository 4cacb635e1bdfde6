//! Kamailio (Debian: kamailio, kamailio-tls-modules) as a registrar and proxy of `test.local`, and with
//! kamailio-presence-modules, kamailio-sqlite-modules and sqlite3 as the server of presence there.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, KeyPair, SanType};

use crate::process::{Running, left_out, wait_until_connectable};
use crate::register::PASSWORD;

/// Its modules, where Debian puts them.
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/kamailio/modules/";

/// The tables that presence needs, where Debian puts them.
const TABLES: &str = "/usr/share/kamailio/db_sqlite/";

/// A registrar at one port for UDP and TCP and another for TLS.
pub(crate) struct Kamailio {
    running: Running,
    folder: PathBuf,
    presence: bool,
    pub(crate) port: u16,
    pub(crate) tls_port: u16,
}

impl Kamailio {
    /// Starts it and waits until it answers; `None`, and loudly so, if this system has none.
    pub(crate) fn start(folder: &Path, port: u16, tls_port: u16) -> Option<Self> {
        Self::run(folder, port, tls_port, false)
    }

    /// The same with presence, of which it remembers nothing when it begins.
    pub(crate) fn start_with_presence(folder: &Path, port: u16, tls_port: u16) -> Option<Self> {
        let database = folder.join("presence.sqlite");
        for file in ["presence.sqlite", "presence.sqlite-wal", "presence.sqlite-shm"] {
            // There is none the first time.
            let _ = std::fs::remove_file(folder.join(file));
        }
        for tables in ["standard", "presence"] {
            let script = Path::new(TABLES).join(format!("{tables}-create.sql"));
            let made = File::open(script).is_ok_and(|script| {
                let mut command = Command::new("sqlite3");
                command.arg(&database).stdin(script).stdout(Stdio::null());
                command.status().is_ok_and(|status| status.success())
            });
            if !made || !Path::new(MODULES).join("presence_xml.so").exists() {
                left_out(
                    "there is no presence in kamailio (Debian: kamailio-presence-modules \
                     kamailio-sqlite-modules sqlite3)",
                );
                return None;
            }
        }
        Self::run(folder, port, tls_port, true)
    }

    fn run(folder: &Path, port: u16, tls_port: u16, presence: bool) -> Option<Self> {
        let present = Command::new("kamailio").arg("-v").output().is_ok_and(|out| out.status.success());
        if !present || !Path::new(MODULES).join("tls.so").exists() {
            left_out("there is no kamailio with its TLS module (Debian: kamailio kamailio-tls-modules)");
            return None;
        }
        certificate(folder);
        let file = folder.join(format!("kamailio-{port}.cfg"));
        std::fs::write(&file, config(folder, port, tls_port, presence)).expect("the disk has room");
        let mut command = Command::new("kamailio");
        command.args(["-DD", "-E", "-m", "32", "-M", "4", "-f"]).arg(&file).arg("-Y").arg(folder);
        let running = Running::start(&mut command, folder, &format!("kamailio-{port}"));
        for port in [port, tls_port] {
            wait_until_connectable(port);
        }
        Some(Self { running, folder: folder.to_owned(), presence, port, tls_port })
    }

    /// Ends it and starts it again, after `pause` and with nothing that it knew.
    pub(crate) fn restart(self, pause: impl FnOnce()) -> Self {
        let presence = self.presence;
        let (folder, port, tls_port) = self.stop();
        pause();
        let again = match presence {
            true => Self::start_with_presence(&folder, port, tls_port),
            false => Self::start(&folder, port, tls_port),
        };
        again.expect("it was there before")
    }

    /// Ends it, with all that it knew.
    pub(crate) fn stop(mut self) -> (PathBuf, u16, u16) {
        self.running.terminate();
        (self.folder.clone(), self.port, self.tls_port)
    }

    /// How many REGISTERs it has taken over that transport, however often each was sent.
    pub(crate) fn registered(&self, transport: &str) -> usize {
        let (log, over) = (self.running.stderr(), format!("registered over {transport}: "));
        log.lines()
            .filter_map(|line| line.split_once(&over))
            .map(|(_, which)| which)
            .collect::<HashSet<_>>()
            .len()
    }
}

/// The authority that its certificate leads to: itself.
pub(crate) fn authority(folder: &Path) -> PathBuf {
    folder.join("kamailio.pem")
}

fn certificate(folder: &Path) {
    if authority(folder).exists() {
        return;
    }
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.subject_alt_names = vec![
        SanType::IpAddress([127, 0, 0, 1].into()),
        SanType::URI("sip:test.local".try_into().expect("ASCII")),
    ];
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(authority(folder), certificate.pem()).expect("the disk has room");
    std::fs::write(folder.join("kamailio.key"), key.serialize_pem()).expect("the disk has room");
}

fn config(folder: &Path, port: u16, tls_port: u16, presence: bool) -> String {
    let mut text = format!(
        "#!KAMAILIO
debug=2
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
alias=\"test.local\"
enable_tls=yes
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
listen=tls:127.0.0.1:{tls_port}
mpath=\"{MODULES}\"
"
    );
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
        "xlog",
        "auth",
        "usrloc",
        "registrar",
        "tls",
    ];
    for module in modules {
        let _ = writeln!(text, "loadmodule \"{module}.so\"");
    }
    let folder = folder.display();
    if presence {
        for module in ["db_sqlite", "presence", "presence_xml"] {
            let _ = writeln!(text, "loadmodule \"{module}.so\"");
        }
        let _ = write!(
            text,
            "modparam(\"presence|presence_xml\", \"db_url\", \"sqlite:///{folder}/presence.sqlite\")
modparam(\"presence\", \"server_address\", \"sip:127.0.0.1:{port}\")
modparam(\"presence\", \"send_fast_notify\", 1)
modparam(\"presence\", \"publ_cache\", 2)
modparam(\"presence\", \"subs_db_mode\", 0)
modparam(\"presence\", \"min_expires\", 1)
modparam(\"presence_xml\", \"force_active\", 1)
"
        );
    }
    // What is for kamailio itself, with presence.
    let (within, first) = match presence {
        true => (
            "if (is_method(\"SUBSCRIBE\") && uri==myself) { t_newtran(); handle_subscribe(); exit; }",
            "if (is_method(\"PUBLISH\")) { t_newtran(); handle_publish(); exit; }
    if (is_method(\"SUBSCRIBE\")) { record_route(); t_newtran(); handle_subscribe(); exit; }",
        ),
        false => ("", ""),
    };
    let _ = write!(
        text,
        "modparam(\"usrloc\", \"db_mode\", 0)
modparam(\"registrar\", \"method_filtering\", 0)
modparam(\"registrar\", \"gruu_enabled\", 1)
modparam(\"registrar\", \"use_path\", 1)
modparam(\"auth\", \"qop\", \"auth\")
modparam(\"tls\", \"certificate\", \"{folder}/kamailio.pem\")
modparam(\"tls\", \"private_key\", \"{folder}/kamailio.key\")
modparam(\"tls\", \"tls_method\", \"TLSv1.2+\")
request_route {{
    if (!mf_process_maxfwd_header(\"10\")) {{ sl_send_reply(\"483\", \"Too Many Hops\"); exit; }}
    if (is_method(\"CANCEL\")) {{ if (t_check_trans()) {{ t_relay(); }} exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        {within}
        if (is_method(\"ACK\") && t_check_trans()) {{ t_relay(); }}
        exit;
    }}
    t_check_trans();
    remove_hf(\"Route\");
    if (is_method(\"REGISTER|INVITE|MESSAGE|PUBLISH|SUBSCRIBE\")) {{
        if (!pv_www_authenticate(\"test.local\", \"{PASSWORD}\", \"0\")) {{ www_challenge(\"test.local\", \"0\"); exit; }}
        consume_credentials();
    }}
    if (is_method(\"REGISTER\")) {{
        xlog(\"L_NOTICE\", \"registered over $proto: $ci $cs\\n\");
        save(\"location\");
        exit;
    }}
    {first}
    record_route();
    if (!lookup(\"location\")) {{ sl_send_reply(\"404\", \"Not Found\"); exit; }}
    t_relay();
}}
"
    );
    text
}
