//! What can be set: the sections of the file, their keys, types, defaults and words.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use sip_core::Uri;
use sip_core::endpoint::Transport;
use toml_edit::{Item, Value};

use crate::configuration::{IceTrickle, SrtpKeying};

use super::value::{AnswerPolicy, HostPort, Secret, Setting, Stream};

/// A key of a section.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) expected: &'static str,
    pub(crate) sample: &'static str,
    pub(crate) secret: bool,
}

/// A value from outside.
#[derive(Copy, Clone)]
pub(crate) enum Input<'a> {
    Toml(&'a Item),
    Text(&'a str),
}

/// A section of the file.
pub(crate) trait Section: Default {
    /// What it is about.
    const WORDS: &'static str;

    fn definitions() -> &'static [Definition];

    /// Sets a key; false if the value is not of its type. Unknown keys are none.
    fn set(&mut self, name: &str, input: Input<'_>) -> bool;

    /// The value of a key as TOML has it; `None`: it is not set.
    fn value(&self, name: &str) -> Option<Value>;
}

fn read<T: Setting>(slot: &mut T, input: Input<'_>) -> bool {
    let value = match input {
        Input::Toml(item) => T::from_item(item),
        Input::Text(text) => T::from_text(text),
    };
    value.map(|value| *slot = value).is_some()
}

macro_rules! sections {
    ($(
        $(#[doc = $section_words:literal])*
        pub struct $section:ident {
            $(
                $(#[doc = $words:literal])*
                $name:ident: $type:ty = $default:expr;
            )*
        }
    )+) => {$(
        $(#[doc = $section_words])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $section {
            $( $(#[doc = $words])* pub $name: $type, )*
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl Section for $section {
            const WORDS: &'static str = concat!($($section_words, "\n"),*);

            fn definitions() -> &'static [Definition] {
                const DEFINITIONS: &[Definition] = &[$(Definition {
                    name: stringify!($name),
                    words: concat!($($words, "\n"),*),
                    expected: <$type as Setting>::EXPECTED,
                    sample: <$type as Setting>::SAMPLE,
                    secret: <$type as Setting>::SECRET,
                }),*];
                DEFINITIONS
            }

            fn set(&mut self, name: &str, input: Input<'_>) -> bool {
                match name {
                    $(stringify!($name) => read(&mut self.$name, input),)*
                    _ => false,
                }
            }

            fn value(&self, name: &str) -> Option<Value> {
                match name {
                    $(stringify!($name) => self.$name.to_value(),)*
                    _ => None,
                }
            }
        }
    )+};
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

sections! {
    /// The agent as a whole.
    pub struct AgentSettings {
        /// What it calls itself in User-Agent and Server.
        user_agent: String = concat!("sipsimple/", env!("CARGO_PKG_VERSION")).to_owned();
        /// The account that is used where none is named.
        default_account: Option<String> = None;
        /// The streams that it takes when it is called.
        accept: Vec<Stream> = vec![Stream::Audio, Stream::Chat];
        /// Whether messages outside of sessions are taken.
        accept_messages: bool = false;
        /// Whether peers may ask in a session that we call somebody else; the application decides on each.
        transfers: bool = false;
        /// Whether they may ask it outside of sessions; the application decides on each. Whoever may has us call
        /// whom it likes. The program `sipsimple` takes none.
        referrals: bool = false;
        /// Event packages that peers may subscribe to, such as `presence`; the application decides on each
        /// subscription. The program `sipsimple` tells no states, and opens none.
        events: Vec<String> = Vec::new();
        /// Whose calls are answered by themselves, so that whoever calls can listen in: `never`, `callers` (of those in
        /// `auto_answer_callers` the calls that ask for it), `anyone` (all calls that ask for it) or `all`.
        auto_answer: AnswerPolicy = AnswerPolicy::Never;
        /// The callers that `callers` means. That a From header names one proves nothing by itself.
        auto_answer_callers: Vec<Uri> = Vec::new();
        /// How many seconds `all` lets it ring before.
        auto_answer_after: Duration = Duration::ZERO;
        /// Sessions at once; more are answered 486. Without it there is no limit.
        max_sessions: Option<u32> = None;
    }

    /// Where SIP is spoken.
    pub struct SipSettings {
        /// The one local address to use; without it all of them.
        bind: Option<IpAddr> = None;
        /// The SIP port; 0 lets the system choose.
        port: u16 = 5060;
        /// The transports to listen on.
        transports: Vec<Transport> = vec![Transport::Udp, Transport::Tcp];
        /// A proxy that requests go through where their account names none.
        proxy: Option<Uri> = None;
    }

    /// TLS under SIP.
    pub struct TlsSettings {
        /// Our certificate, with what leads to its authority, as PEM.
        certificate: Option<PathBuf> = None;
        /// Its key, as PEM, where it is not in the same file.
        key: Option<PathBuf> = None;
        /// The authorities that certificates of peers must lead to, as PEM; without it those of
        /// the system.
        authorities: Option<PathBuf> = None;
        /// Whether a server has to prove that it is the one we want. Without, anybody on the way
        /// can read and change what is sent.
        verify: bool = true;
        /// Whether `*.example.com` proves `sip.example.com`; RFC 5922 §7.2 forbids it.
        wildcards: bool = false;
        /// Whether peers that connect have to show a certificate.
        verify_clients: bool = false;
        /// How many seconds a handshake of those that connect may take.
        handshake_timeout: Duration = Duration::from_secs(5);
    }

    /// Audio streams.
    pub struct RtpSettings {
        /// The address for RTP; without it the one that reaches the peer.
        local_rtp_address: Option<IpAddr> = None;
        /// Whether to use SRTP.
        use_srtp: bool = false;
        /// If SRTP is used, whether it is mandatory.
        srtp_forced: bool = false;
        /// How the keys of SRTP are agreed on: in the description, by a handshake, or by either.
        srtp_keying: SrtpKeying = SrtpKeying::Sdes;
        /// Suites for keys in the description, the preferred first.
        srtp_suites: Vec<String> = texts(&[
            "AEAD_AES_128_GCM",
            "AEAD_AES_256_GCM",
            "AES_CM_128_HMAC_SHA1_80",
            "AES_CM_128_HMAC_SHA1_32",
        ]);
        /// Whether to use ICE, which looks for a way through NATs.
        use_ice: bool = false;
        /// The STUN server that tells our address, where the account names none; without it only
        /// addresses of this host are used.
        ice_stun_address: Option<String> = None;
        /// Its port.
        ice_stun_port: u16 = 3478;
        /// Whether nothing but the TURN server of the account is used, so that peers learn no
        /// address of ours.
        ice_relay_only: bool = false;
        /// Whether we only answer ICE's checks (RFC 8445 §2.5): for hosts that everybody reaches.
        ice_lite: bool = false;
        /// Whether candidates over TCP are used too, for networks that let no datagrams out.
        ice_tcp: bool = false;
        /// Whether calls wait until all candidates are there (off), unless the peer is known to take
        /// them in INFO as they come (half), or never, so that the peer has to take them so (full).
        ice_trickle: IceTrickle = IceTrickle::Half;
        /// The ports to take; without it the system chooses.
        port_range: Option<RangeInclusive<u16>> = None;
        /// What packets of audio are marked with for the networks that they cross (RFC 2474), from 0 to 63; 46
        /// is expedited forwarding.
        dscp: u8 = 46;
        /// Codecs by their SDP names, the preferred first.
        codecs: Vec<String> = texts(&["opus", "G722", "PCMU", "PCMA"]);
    }

    /// Chat streams.
    pub struct MsrpSettings {
        /// The address for MSRP; without it the one that reaches the peer.
        local_ip: Option<IpAddr> = None;
        /// The port to listen on; without it the system chooses one for each stream.
        local_port: Option<u16> = None;
        /// Whether to use TLS.
        local_use_tls: bool = true;
        /// Media types that are taken.
        accept_types: Vec<String> = texts(&["message/cpim", "text/*"]);
        /// Media types that are taken inside CPIM.
        accept_wrapped_types: Vec<String> = texts(&["*"]);
        /// The largest message that is taken, in bytes.
        max_message_size: u64 = 1 << 20;
        /// Whether peers that ask for it are told that a message was delivered.
        notify_delivery: bool = true;
        /// Whether a chat whose connection is lost is taken up on another one.
        reconnect: bool = true;
    }

    /// Sound devices.
    pub struct AudioSettings {
        /// The microphone: `default`, `null` for silence, or the name of a device.
        input_device: String = "default".to_owned();
        /// The loudspeaker: `default`, `null` for none, or the name of a device.
        output_device: String = "default".to_owned();
        /// Whether each peer hears what it says itself.
        echo: bool = false;
        /// Whether what the loudspeaker plays is taken out of what the microphone hears.
        echo_cancellation: bool = false;
        /// Whether steady noise in it is lowered.
        noise_suppression: bool = false;
        /// Whether speech in it is brought to one level.
        gain_control: bool = false;
    }

    /// Ringtones: WAV files.
    pub struct RingtoneSettings {
        /// For who calls and has none of its own.
        inbound: Option<PathBuf> = None;
        /// While it rings at the other side.
        outbound: Option<PathBuf> = None;
        /// By caller.
        callers: BTreeMap<String, PathBuf> = BTreeMap::new();
    }

    /// How many seconds sessions wait for what.
    pub struct TimerSettings {
        /// For a final response to an INVITE or a proposal of ours.
        no_answer: Duration = Duration::from_secs(90);
        /// For the application to accept or reject a call or a proposal of the peer's: then 480.
        ringing: Duration = Duration::from_secs(180);
        /// For audio of the peer, before its absence is told.
        no_audio: Duration = Duration::from_secs(5);
        /// For the local media to be ready and for connections to come about.
        stream_start: Duration = Duration::from_secs(15);
        /// Without audio where there was some, before the stream is reported lost.
        rtp_silence: Duration = Duration::from_secs(30);
        /// For the end of streams, before the session ends all the same.
        wind_down: Duration = Duration::from_secs(2);
        /// For the application to decide on a transfer that the peer asks for.
        transfer_answer: Duration = Duration::from_secs(60);
    }

    /// What is written down of what goes over the wire.
    pub struct TraceSettings {
        /// Where; a name that ends in .pcap or .pcapng becomes a capture. Without it nothing is.
        file: Option<PathBuf> = None;
        /// Whether digests of passwords and keys are left in it.
        secrets: bool = false;
    }

    /// An account: an address of ours and what goes with it.
    pub struct AccountSettings {
        /// The name shown beside the address.
        display_name: Option<String> = None;
        /// The user name for digest authentication; without it the user part of the address.
        auth_username: Option<String> = None;
        /// The password.
        password: Option<Secret> = None;
        /// Whether to register.
        register: bool = false;
        /// The registrar; without it the domain of the address.
        registrar: Option<Uri> = None;
        /// The proxy that requests go through.
        proxy: Option<Uri> = None;
        /// The transport to the proxy or registrar; without it what its address says.
        transport: Option<Transport> = None;
        /// How many seconds a registration lasts.
        expires: u32 = 3_600;
        /// Whether to publish presence.
        publish: bool = false;
        /// How many seconds a publication lasts.
        publish_expires: u32 = 3_600;
        /// The MSRP relay; without it the one that the domain names.
        msrp_relay: Option<HostPort> = None;
        /// The STUN server that tells our address.
        stun_server: Option<HostPort> = None;
        /// The TURN server that relays where nothing else works.
        turn_server: Option<HostPort> = None;
        /// How it is reached: udp, tcp or tls; without it udp.
        turn_transport: Option<Transport> = None;
        /// The user name at the TURN server.
        turn_username: Option<String> = None;
        /// The password at the TURN server.
        turn_password: Option<Secret> = None;
    }
}

/// All settings.
macro_rules! settings {
    ($($name:ident: $section:ty),+ $(,)?) => {
        /// All that can be set, with defaults for everything.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub struct Settings {
            $(
                #[doc = concat!("The section `", stringify!($name), "`.")]
                pub $name: $section,
            )+
            /// Accounts by their addresses without `sip:`.
            pub accounts: BTreeMap<String, AccountSettings>,
        }

        impl Settings {
            /// The sections in the order of the file: name, words and keys.
            pub(crate) fn sections() -> [(&'static str, &'static str, &'static [Definition]); [$(stringify!($name)),+].len()] {
                [$((stringify!($name), <$section as Section>::WORDS, <$section as Section>::definitions())),+]
            }

            pub(crate) fn set_in(&mut self, section: &str, name: &str, input: Input<'_>) -> bool {
                match section {
                    $(stringify!($name) => self.$name.set(name, input),)+
                    _ => false,
                }
            }

            pub(crate) fn value_in(&self, section: &str, name: &str) -> Option<Value> {
                match section {
                    $(stringify!($name) => self.$name.value(name),)+
                    _ => None,
                }
            }
        }
    };
}

settings! {
    agent: AgentSettings,
    sip: SipSettings,
    tls: TlsSettings,
    rtp: RtpSettings,
    msrp: MsrpSettings,
    audio: AudioSettings,
    ringtones: RingtoneSettings,
    timers: TimerSettings,
    trace: TraceSettings,
}
