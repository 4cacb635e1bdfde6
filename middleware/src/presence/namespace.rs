//! The namespaces of event bodies, and the prefixes that the RFCs give them.

pub(super) const PIDF: &str = "urn:ietf:params:xml:ns:pidf";
pub(super) const DATA_MODEL: &str = "urn:ietf:params:xml:ns:pidf:data-model";
pub(super) const RPID: &str = "urn:ietf:params:xml:ns:pidf:rpid";
pub(super) const LOCATION_TYPE: &str = "urn:ietf:params:xml:ns:location-type";
pub(super) const WATCHERINFO: &str = "urn:ietf:params:xml:ns:watcherinfo";
pub(super) const RLMI: &str = "urn:ietf:params:xml:ns:rlmi";
pub(super) const RESOURCE_LISTS: &str = "urn:ietf:params:xml:ns:resource-lists";
pub(super) const DIALOG_INFO: &str = "urn:ietf:params:xml:ns:dialog-info";
pub(super) const CONFERENCE_INFO: &str = "urn:ietf:params:xml:ns:conference-info";
pub(super) const REGINFO: &str = "urn:ietf:params:xml:ns:reginfo";

const KNOWN: [(&str, &str); 11] = [
    (PIDF, "pidf"),
    (DATA_MODEL, "dm"),
    (RPID, "rpid"),
    (LOCATION_TYPE, "lt"),
    (WATCHERINFO, "wi"),
    (RLMI, "rlmi"),
    (RESOURCE_LISTS, "rl"),
    (DIALOG_INFO, "di"),
    (CONFERENCE_INFO, "ci"),
    (REGINFO, "ri"),
    (super::xml::XML, "xml"),
];

/// The namespace without a copy of its name, if it is one of these.
pub(super) fn known(namespace: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| *known == namespace).map(|(known, _)| *known)
}

/// The prefix that goes with it.
pub(super) fn usual_prefix(namespace: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, prefix)| *known == namespace && *prefix != "xml").map(|(_, prefix)| *prefix)
}
