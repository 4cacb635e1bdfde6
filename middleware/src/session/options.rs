//! What can be said beside the streams when a session is made, answered or handed on.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use sip_core::header::{AlertInfo, CallInfo};
use sip_core::{Headers, Uri};

use super::FileToSend;
use crate::credentials::Credentials;

/// What can be said of a call beside whom, as whom and with which streams.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectOptions {
    /// Files to be sent (RFC 5547), each a stream of its own.
    pub files: Vec<FileToSend>,
    /// Further headers of the INVITE. Those that SIP itself needs are not the application's to
    /// set; a call with one of them fails.
    pub headers: Vec<(String, String)>,
    /// How many other addresses may be called when the peer redirects (3xx, RFC 3261 §8.1.3.4). With
    /// 0 the session fails with that code. Either way `SCSessionGotRedirect` says where to.
    pub max_redirects: usize,
    /// The INVITE makes no offer: the peer's 2xx does, and our ACK answers (RFC 3261 §13.2.1).
    pub late_offer: bool,
    /// Asks the peer to answer by itself: `Answer-Mode: Auto` (RFC 5373 §4.1), and `answer-after=0` in
    /// Call-Info, which is what telephones follow. Whether it does is the peer's to decide.
    pub ask_auto_answer: bool,
}

/// What can be said of streams that are accepted.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AcceptOptions {
    /// Folder for the files among them; that of the configuration where `None`.
    pub folder: Option<PathBuf>,
    /// Password of the called user at an MSRP relay; without one no relay is used. `Debug` does not
    /// print it.
    pub relay_password: Option<String>,
    /// Further headers of the 200 that accepts a call; proposals have none.
    pub headers: Vec<(String, String)>,
}

impl fmt::Debug for AcceptOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptOptions")
            .field("folder", &self.folder)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// What `send_message` can be told beside the content.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessageOptions {
    /// Media type of the content; `text/plain` where `None`.
    pub content_type: Option<String>,
    /// Whom it is to, for CPIM; the peer where `None`.
    pub to: Option<Uri>,
    /// When it was written, as RFC 3339 has it; now where `None`.
    pub date_time: Option<String>,
    /// Whether the reader is asked to tell when it was delivered and displayed (RFC 5438): needs CPIM.
    /// `MSRPChatGotDisposition` tells what it says.
    pub notify: bool,
}

/// How a key press travels.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum DtmfMethod {
    /// As telephone events in RTP (RFC 4733), where both sides agreed on them.
    #[default]
    Rtp,
    /// In SIP INFO, with a body of `application/dtmf-relay`.
    Info,
    /// As the two tones themselves, in the audio.
    InBand,
}

/// How a transfer is asked for (RFC 3515).
#[derive(Clone, Debug, PartialEq)]
pub struct TransferOptions {
    /// Whether the peer is to tell what becomes of it. Without, nothing is known but that it was
    /// taken (`Refer-Sub: false`, RFC 4488).
    pub tell: bool,
    /// Whether the session is ended when the peer has its new one (RFC 5589 §6.1). Without `tell` it is
    /// the peer that knows, and ends it.
    pub hang_up: bool,
}

impl Default for TransferOptions {
    /// The peer tells, and the session ends when the transfer has succeeded.
    fn default() -> Self {
        Self { tell: true, hang_up: true }
    }
}

/// Which calls are answered without the application: for door stations and intercoms. Whoever may
/// call so can listen in; nobody may unless it is said.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum AutoAnswer {
    /// None.
    #[default]
    Never,
    /// Those that ask for it (RFC 5373, `answer-after` in Call-Info, `info=alert-autoanswer` in
    /// Alert-Info), of these callers: user and host of the From header are compared. That header
    /// proves nothing by itself: the way that requests come has to be trusted.
    AskedBy(Vec<Uri>),
    /// All that ask for it.
    AskedByAnyone,
    /// All, after this time.
    All(Duration),
}

impl AutoAnswer {
    /// After which time a call of `caller` is answered, if it is; `asked` is what it asks for itself.
    pub(crate) fn after(&self, caller: &Uri, asked: Option<Duration>) -> Option<Duration> {
        let same = |known: &Uri| known.user() == caller.user() && known.host().same(caller.host());
        match self {
            AutoAnswer::Never => None,
            AutoAnswer::AskedBy(callers) => asked.filter(|_| callers.iter().any(same)),
            AutoAnswer::AskedByAnyone => asked,
            AutoAnswer::All(after) => Some(asked.unwrap_or(*after)),
        }
    }
}

/// What asks a peer to answer by itself.
pub(crate) fn auto_answer_headers(from: &Uri) -> [(String, String); 2] {
    let info = format!("<sip:{}>;answer-after=0", from.host());
    [("Answer-Mode".to_owned(), "Auto".to_owned()), ("Call-Info".to_owned(), info)]
}

/// The longest that a peer can have us wait before we answer by ourselves.
const MAX_ANSWER_AFTER: u64 = 60;

/// When an INVITE asks to be answered without anybody's doing: RFC 5373 §4.1, and the two forms that
/// telephones had before it.
pub(crate) fn auto_answer_wish(headers: &Headers) -> Option<Duration> {
    let auto = |name| {
        let mode = headers.text(name).unwrap_or_default().split(';').next().unwrap_or_default();
        mode.trim().eq_ignore_ascii_case("auto")
    };
    let infos = || headers.all::<CallInfo>().flatten();
    let after = infos().find_map(|info| info.params.get("answer-after").map(str::to_owned));
    let after = after.and_then(|text| text.parse::<u64>().ok());
    let alert = headers.all::<AlertInfo>().flatten().any(|alert| {
        let info = alert.params.get("info").unwrap_or_default().trim_matches('"');
        ["alert-autoanswer", "auto answer", "ring answer"]
            .iter()
            .any(|known| info.eq_ignore_ascii_case(known))
    });
    match after {
        Some(seconds) => Some(Duration::from_secs(seconds.min(MAX_ANSWER_AFTER))),
        None => (auto("Answer-Mode") || auto("Priv-Answer-Mode") || alert).then_some(Duration::ZERO),
    }
}

/// Whom to call, and as whom.
#[derive(Clone, Debug)]
pub(crate) struct Invitation {
    pub(crate) callee: Uri,
    pub(crate) credentials: Credentials,
    pub(crate) route: Option<Uri>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) max_redirects: usize,
    pub(crate) late_offer: bool,
}

impl Invitation {
    /// Nothing special.
    pub(crate) fn new(callee: Uri, credentials: Credentials) -> Self {
        Self { callee, credentials, route: None, headers: Vec::new(), max_redirects: 0, late_offer: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().expect("a URI")
    }

    fn wish(name: &str, value: &str) -> Option<Duration> {
        let mut headers = Headers::new();
        headers.push_raw(name, value).expect("a header");
        auto_answer_wish(&headers)
    }

    #[test]
    fn wishes_to_be_answered_are_understood() {
        let now = Some(Duration::ZERO);
        assert_eq!(wish("Answer-Mode", "Auto"), now);
        assert_eq!(wish("Answer-Mode", "auto;require"), now);
        assert_eq!(wish("Priv-Answer-Mode", "Auto"), now);
        assert_eq!(wish("Answer-Mode", "Manual"), None);
        assert_eq!(wish("Call-Info", "<sip:a@b>;answer-after=3"), Some(Duration::from_secs(3)));
        assert_eq!(wish("Call-Info", "<sip:a@b>;answer-after=99999"), Some(Duration::from_secs(60)));
        assert_eq!(wish("Call-Info", "<sip:a@b>;purpose=icon"), None);
        assert_eq!(wish("Alert-Info", "<http://127.0.0.1>;info=alert-autoanswer"), now);
        assert_eq!(wish("Alert-Info", "<http://127.0.0.1>;info=\"Auto Answer\""), now);
        assert_eq!(wish("Alert-Info", "<http://127.0.0.1/bell.wav>"), None);
    }

    #[test]
    fn what_we_ask_for_is_understood() {
        for (name, value) in auto_answer_headers(&uri("sip:alice@example.com")) {
            assert_eq!(wish(&name, &value), Some(Duration::ZERO), "{name}: {value}");
        }
    }

    #[test]
    fn nobody_is_answered_unless_it_is_said() {
        let (alice, asked) = (uri("sip:alice@example.com"), Some(Duration::from_secs(1)));
        assert_eq!(AutoAnswer::default().after(&alice, asked), None);
        let listed = AutoAnswer::AskedBy(vec![uri("sip:alice@EXAMPLE.com:5070;transport=tcp")]);
        assert_eq!(listed.after(&alice, asked), asked);
        assert_eq!(listed.after(&alice, None), None);
        assert_eq!(listed.after(&uri("sip:bob@example.com"), asked), None);
        assert_eq!(AutoAnswer::AskedByAnyone.after(&alice, None), None);
        let all = AutoAnswer::All(Duration::from_secs(5));
        assert_eq!(
            (all.after(&alice, None), all.after(&alice, asked)),
            (Some(Duration::from_secs(5)), asked)
        );
    }
}
