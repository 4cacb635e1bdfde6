//! What is told about subscriptions of peers, and about what they ask for outside of sessions.

use super::value::Value;

/// What happens to a peer's subscription; the variants are the bus names without `SCIncomingSubscription`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum IncomingSubscriptionEvent {
    /// A peer wants to follow a state of ours: the application decides.
    GotSubscribe {
        /// The event package, with its parameters.
        event: String,
        /// Who wants to; that a From header says so proves nothing by itself.
        from: String,
        /// Whose state.
        to: String,
        /// For how many seconds at a time, 0 for once, if it says so.
        expires: Option<u32>,
        /// The content types that it takes, if it says so.
        accept: Vec<String>,
    },
    /// The peer keeps it up; it was answered.
    GotRefresh {
        /// For how many seconds, if it says so.
        expires: Option<u32>,
    },
    /// It is over.
    DidEnd {
        /// In words, or one of RFC 6665 §4.1.3.
        reason: String,
    },
}

impl IncomingSubscriptionEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GotSubscribe { .. } => "SCIncomingSubscriptionGotSubscribe",
            Self::GotRefresh { .. } => "SCIncomingSubscriptionGotRefresh",
            Self::DidEnd { .. } => "SCIncomingSubscriptionDidEnd",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::GotSubscribe { event, from, to, expires, accept } => {
                let mut data = vec![
                    ("event", event.as_str().into()),
                    ("from", from.as_str().into()),
                    ("to", to.as_str().into()),
                ];
                data.extend(expires.map(|seconds| ("expires", seconds.into())));
                data.push(("accept", Value::texts(accept)));
                data
            }
            Self::GotRefresh { expires } => {
                expires.map(|seconds| ("expires", seconds.into())).into_iter().collect()
            }
            Self::DidEnd { reason } => vec![("reason", reason.as_str().into())],
        }
    }
}

/// What happens to a REFER outside of sessions; the variants are the bus names without `SCIncomingReferral`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum IncomingReferralEvent {
    /// A peer wants us to call somebody: the application decides.
    GotRefer {
        /// Who wants it; that a From header says so proves nothing by itself.
        from: String,
        /// Of whom.
        to: String,
        /// Whom we are to call.
        destination: String,
        /// On whose behalf (RFC 3892), if it says so.
        referred_by: Option<String>,
    },
    /// It is over: refused, or what came of the call is known.
    DidEnd {
        /// The status of the call, or ours if there was none; 0: none came.
        code: u16,
        /// Its words.
        reason: String,
    },
}

impl IncomingReferralEvent {
    /// The bus name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::GotRefer { .. } => "SCIncomingReferralGotRefer",
            Self::DidEnd { .. } => "SCIncomingReferralDidEnd",
        }
    }

    /// The data by name.
    pub fn data(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::GotRefer { from, to, destination, referred_by } => {
                let mut data = vec![
                    ("from", from.as_str().into()),
                    ("to", to.as_str().into()),
                    ("destination", destination.as_str().into()),
                ];
                data.extend(referred_by.as_deref().map(|by| ("referred_by", by.into())));
                data
            }
            Self::DidEnd { code, reason } => {
                vec![("code", (*code).into()), ("reason", reason.as_str().into())]
            }
        }
    }
}
