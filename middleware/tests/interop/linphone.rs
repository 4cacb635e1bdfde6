//! Debian's linphonec: answers by itself or calls, plays a file into the call and records what it hears.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::baresip::Encryption;
use crate::process::{Running, free_port, left_out, wait_until_bound};
use crate::sound::Sound;

/// A configured linphonec.
pub(crate) struct Linphone {
    folder: PathBuf,
    port: u16,
}

impl Linphone {
    /// Writes a configuration into a new folder within `folder`; it will play `playing`. `None`, and loudly so, if
    /// this system has none.
    pub(crate) fn new(folder: &Path, encryption: Encryption, playing: &Sound) -> Option<Self> {
        if Command::new("linphonec").arg("-v").output().is_err() {
            left_out("there is no linphonec (Debian: linphone-cli)");
            return None;
        }
        let (folder, port) = (folder.join("linphone"), free_port());
        for place in ["home/.local/share/linphone", "home/.config/linphone"] {
            std::fs::create_dir_all(folder.join(place)).expect("new folders");
        }
        playing.write(&folder.join("playing.wav"));
        let suite = |name| format!("srtp_crypto_suites={name}\n");
        let (kind, suites) = match encryption {
            Encryption::None => ("none", String::new()),
            Encryption::Mandatory => ("srtp", suite("AES_CM_128_HMAC_SHA1_80")),
            Encryption::Gcm => unreachable!("its mediastreamer knows no such suite of SDES"),
            Encryption::Dtls => ("dtls", String::new()),
        };
        let config = format!(
            "[sip]\nsip_port={port}\nsip_tcp_port=0\nsip_tls_port=0\nregister_only_when_network_is_up=0\n\
             auto_net_state_mon=0\nbind_address=127.0.0.1\nguess_hostname=0\ncontact=sip:linphone@127.0.0.1\n\
             ipv6_migration_done=1\nmedia_encryption={kind}\nmedia_encryption_mandatory={}\n\
             {suites}\
             [rtp]\naudio_rtp_port={}\n[video]\nenabled=0\ncapture=0\ndisplay=0\n[net]\ndownload_bw=0\nupload_bw=0\n",
            u8::from(encryption != Encryption::None),
            port + 2,
        );
        std::fs::write(folder.join("rc"), config).expect("a new file");
        let commands = format!(
            "soundcard use files\nplay {0}/playing.wav\nrecord {0}/heard.wav\ncodec enable 6\n",
            folder.display()
        );
        std::fs::write(folder.join("commands"), commands).expect("a new file");
        Some(Self { folder, port })
    }

    pub(crate) fn uri(&self) -> String {
        format!("sip:linphone@127.0.0.1:{}", self.port)
    }

    /// Starts it; it answers calls by itself, and ends after three minutes.
    pub(crate) fn answer(&self) -> Running {
        self.start("-a", "sleep 180; echo quit")
    }

    /// Starts it and makes it call, for nine seconds from when there is sound.
    pub(crate) fn dial(&self, uri: &str) -> Running {
        let talks = "until grep -q 'StreamsRunning' log; do sleep 0.1; done";
        self.start("", &format!("echo call {uri}; {talks}; sleep 9; echo terminate; sleep 1; echo quit"))
    }

    fn start(&self, option: &str, then: &str) -> Running {
        let script = format!("exec linphonec {option} -d 6 -l log -c rc < <(cat commands; {then})");
        let mut command = Command::new("bash");
        command.args(["-c", &script]).current_dir(&self.folder).env("HOME", self.folder.join("home"));
        let running = Running::start(&mut command, &self.folder, "linphonec");
        wait_until_bound(self.port);
        running
    }

    /// Whether it says that keys by DTLS came into use.
    pub(crate) fn has_keys_by_dtls(&self) -> bool {
        let log = std::fs::read(self.folder.join("log")).expect("it writes a log");
        String::from_utf8_lossy(&log).contains("DTLS Event dispatched to all: secrets are on for this stream")
    }

    /// What it heard in its one call.
    pub(crate) fn heard(&self) -> Sound {
        Sound::read(&self.folder.join("heard.wav"))
    }
}
