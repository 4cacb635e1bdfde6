//! The command line, as `--help` shows it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::settings::SettingsCommand;

/// Sessions with audio and chat over SIP.
#[derive(Debug, Parser)]
#[command(name = "sipsimple", version, about, after_help = EXAMPLES, propagate_version = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sipsimple demo                                      the whole thing on this machine
  sipsimple listen --echo                             answer calls and send back what is said
  sipsimple call sip:bob@192.0.2.7 --seconds 10       call for ten seconds
  sipsimple call sip:bob@192.0.2.7 --chat hello       call with a chat message
  sipsimple call sip:bob@192.0.2.7 sip:ann@192.0.2.8  call both, in one conference
  sipsimple message sip:bob@192.0.2.7 'lunch at one?' send a message without a call
  sipsimple register --from sip:alice@example.com     register and stay so
  sipsimple subscribe presence sip:bob@example.com    watch somebody's presence
  sipsimple publish --status open --note 'at work'    publish our own
  sipsimple doctor --from sip:alice@example.com       what works, what does not, what to do
  sipsimple inspect message.sip                       decode and judge a file";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show everything on one machine: two agents call, talk, chat and record
    Demo(Demo),
    /// Wait for sessions and answer them
    Listen(Listen),
    /// Call a SIP address, or several in one conference
    Call(Call),
    /// Send a SIP MESSAGE, wrapped in CPIM, and wait for the answer
    Message(Message),
    /// Register an address and keep it registered
    Register(Register),
    /// Follow the state of somebody or something and print what is told of it
    Subscribe(Subscribe),
    /// Publish our presence and keep it published
    Publish(Publish),
    /// Show and change what other commands begin with: the settings file and its accounts
    Settings(SettingsCommand),
    /// Decode and judge files: one JSON object each; exit 1 if any is malformed
    Inspect(Inspect),
    /// Check DNS, transports, TLS, registration, STUN, codecs and sound: what works, what does not
    /// and what to do about it
    Doctor(Doctor),
    /// Print what makes a shell complete this program's commands and options
    Completions(Completions),
    /// Print the manual page
    Man(Manual),
}

/// Options that every agent takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Common {
    /// One JSON object a line on stdout for each notification
    #[arg(long)]
    pub(crate) json: bool,
    /// Settings to begin with; options prevail over them [default: `sipsimple settings path`]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The account to use, such as alice@example.com [default: the default one of the settings]
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    /// Write SIP and MSRP as sent and received to a file (`-`: stderr); a name that ends in
    /// .pcap or .pcapng becomes a capture
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Leave passwords' digests and keys in the trace
    #[arg(long)]
    pub(crate) trace_secrets: bool,
    /// Local address [default: all; media use the one that reaches the outside]
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<IpAddr>,
    /// Local SIP port; 0: any. TLS is one above unless it is alone, ws two, wss three [default: 5060; any
    /// if that is taken, but for `listen`]
    #[arg(long, value_name = "P")]
    pub(crate) port: Option<u16>,
    /// Transports to listen on; repeatable [default: udp and tcp]
    #[arg(long, value_name = "T")]
    pub(crate) transport: Vec<TransportArgument>,
    /// A DNS server to ask; repeatable [default: those of the system]
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) dns: Vec<SocketAddr>,
    /// Our certificate for TLS, as PEM [default: one that is made now and proves nothing]
    #[arg(long, value_name = "F")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// The key of the certificate, as PEM [default: in the same file]
    #[arg(long, value_name = "F", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,
    /// The authorities that servers' certificates must lead to, as PEM [default: the system's]
    #[arg(long, value_name = "F")]
    pub(crate) tls_ca: Option<PathBuf>,
    /// Whether servers have to prove who they are
    #[arg(long, value_enum, default_value_t = YesNo::Yes)]
    pub(crate) tls_verify: YesNo,
    /// Send requests through this proxy, such as `sip:192.0.2.1:5060;transport=tcp`
    #[arg(long, value_name = "URI")]
    pub(crate) proxy: Option<String>,
    /// Read the password from this environment variable
    #[arg(long, value_name = "VAR")]
    pub(crate) password_env: Option<String>,
    /// Read the password from this file
    #[arg(long, value_name = "F", conflicts_with = "password_env")]
    pub(crate) password_file: Option<PathBuf>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TransportArgument {
    /// Datagrams
    Udp,
    /// Streams
    Tcp,
    /// Encrypted streams
    Tls,
    /// WebSockets
    Ws,
    /// Encrypted WebSockets
    Wss,
}

/// Options about media that `call` and `listen` share.
#[derive(Clone, Debug, Args)]
pub(crate) struct Media {
    /// Offer audio; the default
    #[arg(long, overrides_with = "no_audio")]
    pub(crate) audio: bool,
    /// Offer no audio
    #[arg(long, overrides_with = "audio")]
    pub(crate) no_audio: bool,
    /// Send this chat message; repeatable
    #[arg(long, value_name = "TEXT")]
    pub(crate) chat: Vec<String>,
    /// Send back audio and chat as they come
    #[arg(long)]
    pub(crate) echo: bool,
    /// Play this WAV file instead of the microphone
    #[arg(long, value_name = "WAV")]
    pub(crate) play: Option<PathBuf>,
    /// Play it over and over
    #[arg(long = "loop", requires = "play")]
    pub(crate) repeat: bool,
    /// Record the call: a file for `call`, a folder for `listen`
    #[arg(long, value_name = "PATH")]
    pub(crate) record: Option<PathBuf>,
    /// Sound device: null, default or a name
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) device: String,
    /// Codecs, the preferred first
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "opus,g722,pcmu,pcma")]
    pub(crate) codecs: Vec<String>,
    /// Encryption of audio
    #[arg(long, value_enum, default_value_t = Srtp::Off)]
    pub(crate) srtp: Srtp,
    /// How keys are agreed on: in the session description, by a DTLS handshake, or by either [default: sdes]
    #[arg(long, value_enum)]
    pub(crate) keying: Option<Keying>,
    /// Look for a way through NATs by ICE; --stun and --turn ask for it too
    #[arg(long)]
    pub(crate) ice: bool,
    /// STUN server that tells our address; goes with ICE
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) stun: Option<String>,
    #[command(flatten)]
    pub(crate) relay: Relay,
    /// Send and receive through the TURN server only
    #[arg(long, requires = "turn")]
    pub(crate) relay_only: bool,
    /// Relay for chat and files; needs a password [default: none for calls, that of the domain for answers]
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) msrp_relay: Option<String>,
    /// TLS with the relay
    #[arg(long, value_enum, default_value_t = YesNo::Yes)]
    pub(crate) msrp_relay_tls: YesNo,
    /// TLS for chat
    #[arg(long, value_enum, default_value_t = YesNo::Yes)]
    pub(crate) msrp_tls: YesNo,
    /// Call whom the peer asks us to call instead (REFER)
    #[arg(long)]
    pub(crate) transfers: bool,
    /// Keep sessions alive, and end those that the peer does not (RFC 4028)
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Timers::Optional)]
    pub(crate) session_timers: Timers,
    /// Seconds that a session lives without being refreshed
    #[arg(long, value_name = "S", default_value_t = 1_800, value_parser = clap::value_parser!(u32).range(90..))]
    pub(crate) session_expires: u32,
    /// The least that is taken of a peer, in seconds
    #[arg(long, value_name = "S", default_value_t = 90, value_parser = clap::value_parser!(u32).range(90..))]
    pub(crate) min_se: u32,
    /// Hang up N seconds after the session started
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Srtp {
    /// Plain RTP only
    Off,
    /// Encrypt if the peer does
    Optional,
    /// Encrypt or refuse
    Mandatory,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keying {
    /// Offer keys in the session description; take either
    Sdes,
    /// DTLS and nothing else
    Dtls,
    /// Offer both where encryption is optional, DTLS where it is mandatory; take either
    Both,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Timers {
    /// Never
    Off,
    /// If the peer can
    Optional,
    /// Always; peers that cannot are refused
    Required,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TurnOver {
    /// Datagrams
    Udp,
    /// A connection
    Tcp,
    /// An encrypted connection
    Tls,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum YesNo {
    /// On
    Yes,
    /// Off
    No,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple call sip:bob@192.0.2.7\n  sipsimple call sip:bob@example.com --from sip:alice@example.com --password-env SIP_PASSWORD\n  sipsimple call sip:ivr@192.0.2.7 --play question.wav --record answer.wav --dtmf 12# --seconds 20 --json\n  sipsimple call sip:bob@192.0.2.7 --no-audio --send-file photo.jpg\n  sipsimple call sip:bob@192.0.2.7 sip:carol@192.0.2.8"
)]
pub(crate) struct Call {
    /// Whom to call: sip:user@host; several make a conference, in which all hear each other
    #[arg(required = true, value_name = "URI")]
    pub(crate) uris: Vec<String>,
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) media: Media,
    /// Our address: sip:user@domain
    #[arg(long, value_name = "URI")]
    pub(crate) from: Option<String>,
    /// Press these keys once the call stands
    #[arg(long, value_name = "KEYS")]
    pub(crate) dtmf: Option<String>,
    /// Put the peer on hold S seconds after the start, and take it off 2 seconds later
    #[arg(long, value_name = "S")]
    pub(crate) hold_after: Option<f64>,
    /// Ask the peer to call URI instead of us, S seconds (`--transfer-after`) after the start
    #[arg(long, value_name = "URI")]
    pub(crate) transfer: Option<String>,
    /// When `--transfer` asks
    #[arg(long, value_name = "S", default_value_t = 0.0, requires = "transfer")]
    pub(crate) transfer_after: f64,
    /// Ask the peer to answer by itself (RFC 5373)
    #[arg(long)]
    pub(crate) auto_answer: bool,
    /// Add chat S seconds after the start; what `--chat` says is sent then
    #[arg(long, value_name = "S")]
    pub(crate) add_chat_after: Option<f64>,
    /// Register our address (`--from`) first, and unregister before leaving: who is behind a NAT is
    /// reached in the course of the call that way
    #[arg(long, requires = "from")]
    pub(crate) register: bool,
    #[command(flatten)]
    pub(crate) registrar: Registrar,
    /// Send this file; repeatable. Without audio and chat the call ends when it is delivered
    #[arg(long, value_name = "PATH")]
    pub(crate) send_file: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple listen\n  sipsimple listen --echo --record recordings\n  sipsimple listen --accept audio,chat --max-calls 10 --json\n  sipsimple listen --accept audio,chat,file --files received"
)]
pub(crate) struct Listen {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) media: Media,
    /// Calls at once; beyond it 486
    #[arg(long, value_name = "N")]
    pub(crate) max_calls: Option<usize>,
    /// Leave once N sessions have ended
    #[arg(long, value_name = "N")]
    pub(crate) exit_after: Option<u64>,
    /// Register our address (`--from`) and unregister before leaving
    #[arg(long, requires = "from")]
    pub(crate) register: bool,
    #[command(flatten)]
    pub(crate) registrar: Registrar,
    /// Our address: sip:user@domain
    #[arg(long, value_name = "URI")]
    pub(crate) from: Option<String>,
    /// Streams to accept
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "audio,chat")]
    pub(crate) accept: Vec<StreamArgument>,
    /// Folder for the files that arrive, with `--accept file`
    #[arg(long, value_name = "DIR", default_value = "files")]
    pub(crate) files: PathBuf,
    /// Decline every call with this code
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(300..700))]
    pub(crate) reject: Option<u16>,
    /// Ring for S seconds before answering
    #[arg(long, value_name = "S", default_value_t = 0.0)]
    pub(crate) ring: f64,
    /// Be heard while it rings (183): what `--play` plays begins at once
    #[arg(long, requires = "ring")]
    pub(crate) early_media: bool,
    /// Let all who call hear each other
    #[arg(long)]
    pub(crate) conference: bool,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StreamArgument {
    /// Audio
    Audio,
    /// MSRP chat
    Chat,
    /// Files
    File,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple message sip:bob@192.0.2.7 'lunch at one?'\n  sipsimple message sip:bob@example.com hello --from sip:alice@example.com --password-env SIP_PASSWORD --notify"
)]
pub(crate) struct Message {
    /// Whom it is for: sip:user@host
    pub(crate) uri: String,
    /// The text; `-`: standard input
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Our address: sip:user@domain
    #[arg(long, value_name = "URI")]
    pub(crate) from: Option<String>,
    /// Ask the recipient to tell of delivery and display, and wait for the first word of it
    #[arg(long)]
    pub(crate) notify: bool,
    /// Send the text as it is, without CPIM
    #[arg(long, conflicts_with = "notify")]
    pub(crate) plain: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple register --from sip:alice@example.com --password-env SIP_PASSWORD\n  sipsimple register --from sip:alice@example.com --proxy 'sip:192.0.2.1;transport=tcp' --seconds 30 --json"
)]
pub(crate) struct Register {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) registrar: Registrar,
    /// Our address: sip:user@domain
    #[arg(long, value_name = "URI", required = true)]
    pub(crate) from: Option<String>,
    /// Unregister and leave after N seconds [default: when interrupted]
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple subscribe presence sip:bob@example.com --from sip:alice@example.com --password-env SIP_PASSWORD\n  sipsimple subscribe message-summary sip:alice@example.com --from sip:alice@example.com --json\n  sipsimple subscribe dialog sip:reception@example.com --from sip:alice@example.com --seconds 60\n  sipsimple subscribe presence sip:bob@example.com --from sip:alice@example.com --expires 0"
)]
pub(crate) struct Subscribe {
    /// The event package: presence, presence.winfo, message-summary, dialog, conference, reg
    pub(crate) event: String,
    /// Whose state: sip:user@host
    pub(crate) uri: String,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Our address: sip:user@domain
    #[arg(long, value_name = "URI")]
    pub(crate) from: Option<String>,
    /// Seconds that a subscription is to last before it is refreshed; 0: ask once
    #[arg(long = "expires", value_name = "S", default_value_t = 3_600)]
    pub(crate) lifetime: u32,
    /// Give it up and leave after N seconds [default: when interrupted]
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple publish --status open --note 'at work' --from sip:alice@example.com --password-env SIP_PASSWORD\n  sipsimple publish --status closed --activity on-the-phone --from sip:alice@example.com --seconds 60 --json"
)]
pub(crate) struct Publish {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Our address: sip:user@domain
    #[arg(long, value_name = "URI", required = true)]
    pub(crate) from: Option<String>,
    /// Whether we can be reached
    #[arg(long, value_enum, default_value_t = PresenceStatus::Open)]
    pub(crate) status: PresenceStatus,
    /// Words for people; repeatable
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Vec<String>,
    /// What we do: away, busy, meeting, on-the-phone, … or words of our own; repeatable
    #[arg(long, value_name = "NAME")]
    pub(crate) activity: Vec<String>,
    /// Seconds that a publication is to last before it is refreshed
    #[arg(long = "expires", value_name = "S", default_value_t = 3_600)]
    pub(crate) lifetime: u32,
    /// Remove it and leave after N seconds [default: when interrupted]
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<f64>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PresenceStatus {
    /// We can be reached
    Open,
    /// We cannot
    Closed,
}

/// Where and for how long to register.
#[derive(Clone, Debug, Args)]
pub(crate) struct Registrar {
    /// The registrar [default: the domain of our address]
    #[arg(long, value_name = "URI")]
    pub(crate) registrar: Option<String>,
    /// Seconds that a registration is to last
    #[arg(long, value_name = "S", default_value_t = 3_600)]
    pub(crate) expires: u32,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple demo\n  sipsimple demo --out here --seconds 20\n  sipsimple demo --bind 192.0.2.7 --trace -"
)]
pub(crate) struct Demo {
    /// Folder for the recordings, the capture and the report
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    pub(crate) out: PathBuf,
    /// Seconds of talk
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub(crate) seconds: u64,
    /// One JSON object a line on stdout for each notification
    #[arg(long)]
    pub(crate) json: bool,
    /// Write what the first agent sends and receives to this file too (`-`: stderr); a name that ends in
    /// .pcap or .pcapng becomes a capture, beside the one in the folder
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Leave passwords' digests and keys in that trace
    #[arg(long, requires = "trace")]
    pub(crate) trace_secrets: bool,
    /// The address of this machine that all of it uses
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1")]
    pub(crate) bind: IpAddr,
}

/// A relay.
#[derive(Clone, Debug, Args)]
pub(crate) struct Relay {
    /// TURN server to relay through where nothing else works
    #[arg(long, value_name = "HOST[:PORT]", requires_all = ["turn_user", "turn_password_env"])]
    pub(crate) turn: Option<String>,
    /// Our name at the TURN server
    #[arg(long, value_name = "U")]
    pub(crate) turn_user: Option<String>,
    /// Read the password at the TURN server from this environment variable
    #[arg(long, value_name = "VAR")]
    pub(crate) turn_password_env: Option<String>,
    /// How the TURN server is reached
    #[arg(long, value_enum, default_value_t = TurnOver::Udp)]
    pub(crate) turn_transport: TurnOver,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple doctor\n  sipsimple doctor --from sip:alice@example.com --password-env SIP_PASSWORD --stun stun.example.com\n  sipsimple doctor --account alice@example.com --json"
)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) common: Common,
    /// Our address, whose servers are tried: sip:user@domain
    #[arg(long, value_name = "URI")]
    pub(crate) from: Option<String>,
    #[command(flatten)]
    pub(crate) registrar: Registrar,
    /// STUN server to ask what kind of NAT there is
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) stun: Option<String>,
    #[command(flatten)]
    pub(crate) relay: Relay,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple completions bash > /etc/bash_completion.d/sipsimple\n  sipsimple completions fish > ~/.config/fish/completions/sipsimple.fish"
)]
pub(crate) struct Completions {
    /// Which shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple man | man -l -\n  sipsimple man listen | man -l -\n  sipsimple man --out /usr/local/share/man/man1"
)]
pub(crate) struct Manual {
    /// The page of this command [default: that of the whole]
    #[arg(conflicts_with = "out")]
    pub(crate) command: Option<String>,
    /// Write the pages of all commands into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sipsimple inspect message.sip\n  sipsimple inspect --kind sdp offer.sdp answer.sdp\n  sipsimple inspect capture.pcapng | jq .summary"
)]
pub(crate) struct Inspect {
    /// End with one more object, as other commands do
    #[arg(long)]
    pub(crate) json: bool,
    /// What the files are
    #[arg(long, value_enum, default_value_t = Kind::Auto)]
    pub(crate) kind: Kind,
    /// Files to decode; `-`: stdin
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Find out
    Auto,
    /// SIP messages
    Sip,
    /// Session descriptions
    Sdp,
    /// RTP packets
    Rtp,
    /// RTCP packets
    Rtcp,
    /// STUN messages
    Stun,
    /// MSRP messages
    Msrp,
    /// CPIM messages
    Cpim,
    /// Presence documents
    Pidf,
    /// What notifications carry: watchers, dialogs, lists, conferences, registrations, messages
    Event,
}
