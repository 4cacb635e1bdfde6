//! Debian's baresip: plays a file into the call, and leaves what it sent and heard as WAV
//! files.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Running, free_port, wait_until_bound};
use crate::sound::Sound;

/// How the media are encrypted, on both sides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encryption {
    /// Plain RTP.
    None,
    /// SRTP with SDES keys, or no call: AES in counter mode.
    Mandatory,
    /// The same in Galois/counter mode (RFC 7714).
    Gcm,
    /// SRTP with keys by DTLS (RFC 5763), or no call; in Galois/counter mode where the peer has it.
    Dtls,
}

impl Encryption {
    /// The options of the program.
    pub(crate) fn ours(self) -> &'static [&'static str] {
        match self {
            Self::None => &["--srtp", "off"],
            Self::Mandatory | Self::Gcm => &["--srtp", "mandatory"],
            Self::Dtls => &["--srtp", "mandatory", "--keying", "dtls"],
        }
    }

    /// The suites of SDES keys, as the environment of the program.
    pub(crate) fn suites(self) -> [(&'static str, String); 1] {
        let suites = if self == Self::Gcm { "AEAD_AES_128_GCM" } else { "AES_CM_128_HMAC_SHA1_80" };
        [("SIPSIMPLE_RTP_SRTP_SUITES", suites.to_owned())]
    }

    /// The parameter of baresip's account.
    fn theirs(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Mandatory | Self::Gcm => ";mediaenc=srtp-mand",
            Self::Dtls => ";mediaenc=dtls_srtp",
        }
    }

    /// Whether baresip's log says that it was so.
    pub(crate) fn is_in(self, log: &str) -> bool {
        let sdes = "SRTP is Enabled (cryptosuite=";
        match self {
            Self::None => !log.contains(sdes),
            Self::Mandatory => log.contains(&format!("{sdes}AES_CM_128_HMAC_SHA1_80)")),
            Self::Gcm => log.contains(&format!("{sdes}AEAD_AES_128_GCM)")),
            Self::Dtls => {
                let complete = log.lines().filter(|line| line.contains("DTLS-SRTP complete (audio/RTP)"));
                complete.map(|line| line.ends_with("Profile=AEAD_AES_256_GCM")).eq([true])
            }
        }
    }
}

/// Where a baresip is that registers behind a NAT and uses ICE.
pub(crate) struct Behind {
    /// Its own address.
    pub(crate) host: &'static str,
    /// The address of the registrar, which is the STUN server and the relay too.
    pub(crate) server: &'static str,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    /// Whether it asks the relay for an address.
    pub(crate) relayed: bool,
}

/// A configured baresip.
pub(crate) struct Baresip {
    folder: PathBuf,
    port: u16,
}

impl Baresip {
    /// Writes a configuration into a new folder within `folder`; it will play `playing`.
    pub(crate) fn new(folder: &Path, codec: &str, encryption: Encryption, playing: &Sound) -> Self {
        let port = free_port();
        let account = format!(
            "<sip:baresip@127.0.0.1:{port}>;regint=0;answermode=auto;audio_codecs={codec}{}\n",
            encryption.theirs()
        );
        Self::configured(folder, "127.0.0.1", port, &account, playing)
    }

    /// The same behind a NAT: it registers with the server, and looks for a way by ICE.
    pub(crate) fn behind(folder: &Path, place: Behind, playing: &Sound) -> Self {
        let Behind { host, server, user, password, relayed } = place;
        let helper = match relayed {
            true => format!("turn:{server}:3478;stunuser={user};stunpass={user}-relay"),
            false => format!("stun:{server}:3478"),
        };
        let account = format!(
            "<sip:{user}@{server}>;auth_user={user};auth_pass={password};regint=60;answermode=auto;\
             audio_codecs=PCMU/8000/1;medianat=ice;stunserver={helper}\n"
        );
        Self::configured(folder, host, 5060, &account, playing)
    }

    fn configured(folder: &Path, host: &str, port: u16, account: &str, playing: &Sound) -> Self {
        let folder = folder.join("baresip");
        let dumps = folder.join("dumps");
        std::fs::create_dir_all(&dumps).expect("new folders");
        // RTP ports apart from those of other tests; baresip picks among them.
        let rtp = 20_000 + port / 4 % 120 * 100;
        let file = folder.join("playing.wav");
        playing.write(&file);
        // It makes an RSA key where it is loaded, which takes time.
        let dtls = if account.contains("dtls_srtp") { "module dtls_srtp.so\n" } else { "" };
        let config = format!(
            "sip_listen {host}:{port}\n\
             net_interface {host}\n\
             rtp_ports {rtp}-{}\n\
             call_max_calls 4\n\
             call_local_timeout 60\n\
             audio_source aufile,{}\n\
             audio_player aubridge,sink\n\
             audio_alert aubridge,sink\n\
             ausrc_srate 48000\n\
             auplay_srate 48000\n\
             ausrc_channels 1\n\
             auplay_channels 1\n\
             module_path {}\n\
             module g711.so\n\
             module g722.so\n\
             module opus.so\n\
             module aufile.so\n\
             module aubridge.so\n\
             module sndfile.so\n\
             module srtp.so\n\
             {dtls}\
             module stun.so\n\
             module turn.so\n\
             module ice.so\n\
             module uuid.so\n\
             module_tmp account.so\n\
             module_app menu.so\n\
             snd_path {}\n",
            rtp + 98,
            file.display(),
            modules().display(),
            dumps.display(),
        );
        std::fs::write(folder.join("config"), config).expect("a new file");
        std::fs::write(folder.join("accounts"), account).expect("a new file");
        std::fs::write(folder.join("contacts"), "").expect("a new file");
        Self { folder, port }
    }

    pub(crate) fn uri(&self) -> String {
        format!("sip:baresip@127.0.0.1:{}", self.port)
    }

    /// Starts it; it answers calls by itself.
    pub(crate) fn answer(&self) -> Running {
        self.start(&[])
    }

    /// Starts it and makes it call.
    pub(crate) fn dial(&self, uri: &str) -> Running {
        self.start(&["-e", &format!("/dial {uri}")])
    }

    /// What it heard in its one call.
    pub(crate) fn heard(&self) -> Sound {
        let dumps = std::fs::read_dir(self.folder.join("dumps")).expect("the folder of dumps");
        let heard: Vec<PathBuf> = dumps
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        assert_eq!(heard.len(), 1, "baresip dumped what it heard once: {heard:?}");
        Sound::read(&heard[0])
    }

    fn start(&self, arguments: &[&str]) -> Running {
        let running = self.start_in(Command::new("baresip"), arguments);
        wait_until_bound(self.port);
        running
    }

    /// Starts it by a command that may run it elsewhere.
    pub(crate) fn start_in(&self, mut command: Command, arguments: &[&str]) -> Running {
        command.arg("-f").arg(&self.folder).args(["-t", "180"]).args(arguments);
        Running::start(&mut command, &self.folder, "baresip")
    }
}

/// Where the distribution keeps baresip's modules.
fn modules() -> PathBuf {
    let places = ["/usr/lib/baresip/modules", "/usr/lib64/baresip/modules", "/usr/local/lib/baresip/modules"];
    let found = places.into_iter().map(PathBuf::from).find(|place| place.is_dir());
    found.expect("baresip's modules are installed; ./dev interop installs them on Debian")
}
