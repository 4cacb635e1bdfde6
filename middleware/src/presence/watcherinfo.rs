//! Who watches: `presence.winfo` and its like (RFC 3857, RFC 3858).

use super::namespace::WATCHERINFO;
use super::schema::{Node, Value};
use super::value::DocumentState;
use super::xml::{Attribute, Element, Namespaces, XML};

elements! {
    /// The watchers of resources.
    pub struct WatcherInfo {
        /// Counts documents; a gap means that one was lost (RFC 3858 §4.1).
        must version: u32 = "version";
        /// All, or what changed.
        must state: DocumentState = "state";
        /// By resource.
        many lists: WatcherList = "watcher-list";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
        /// The prefixes.
        names namespaces: Namespaces;
    }

    /// The watchers of one resource.
    pub struct WatcherList {
        /// What is watched.
        must resource: String = "resource";
        /// The event package by which.
        must package: String = "package";
        /// They.
        many watchers: Watcher = "watcher";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// One subscription.
    pub struct Watcher {
        /// Its state.
        must status: WatcherStatus = "status";
        /// What brought it there.
        must event: WatcherEvent = "event";
        /// Tells it from the others.
        must id: String = "id";
        /// What the watcher calls itself.
        may display_name: String = "display-name";
        /// `xml:lang` of that name.
        may language: String = XML, "lang";
        /// Seconds until it ends.
        may expiration: u64 = "expiration";
        /// Seconds since it was made.
        may duration_subscribed: u64 = "duration-subscribed";
        /// The watcher's URI.
        text uri: String;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
}

words! {
    closed
    /// The state of a subscription (RFC 3857 §4.7.1).
    pub enum WatcherStatus {
        Pending = "pending",
        Active = "active",
        Waiting = "waiting",
        Terminated = "terminated",
    }
}

words! {
    open
    /// What changed the state of a subscription (RFC 3857 §4.7.1).
    pub enum WatcherEvent {
        Subscribe = "subscribe",
        Approved = "approved",
        Deactivated = "deactivated",
        Probation = "probation",
        Rejected = "rejected",
        Timeout = "timeout",
        GiveUp = "giveup",
        NoResource = "noresource",
    }
}

document!(WatcherInfo, WATCHERINFO, "watcherinfo", "application/watcherinfo+xml");
