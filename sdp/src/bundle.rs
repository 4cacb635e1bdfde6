//! Streams over one transport: BUNDLE (RFC 8843).

use std::collections::HashMap;

use crate::attribute::{Group, Mid};
use crate::description::{MediaDescription, SessionDescription};
use crate::error::{PeerError, UsageError};

/// Attributes that belong to the transport: of the categories IDENTICAL and TRANSPORT of RFC 8859. In an answer only
/// the tagged stream has them (RFC 8843 §7.1.3).
const TRANSPORT: [&str; 15] = [
    "candidate",
    "crypto",
    "end-of-candidates",
    "fingerprint",
    "ice-mismatch",
    "ice-options",
    "ice-pwd",
    "ice-ufrag",
    "remote-candidates",
    "rtcp",
    "rtcp-mux",
    "rtcp-mux-only",
    "rtcp-rsize",
    "setup",
    "tls-id",
];

impl SessionDescription {
    /// The BUNDLE groups: the m-lines of each, as numbers from 0, the tagged one first (RFC 8843 §7.2.1). Members that
    /// no m-line has, and what a group before has already, are left out.
    pub fn bundles(&self) -> Vec<Vec<usize>> {
        let mut mids = HashMap::new();
        for (index, media) in self.media.iter().enumerate() {
            if let Some(mid) = media.attributes.value("mid") {
                // The first one counts.
                mids.entry(mid).or_insert(index);
            }
        }
        let mut taken = vec![false; self.media.len()];
        let mut groups = Vec::new();
        for group in self.attributes.all::<Group>().flatten().filter(is_bundle) {
            let mut members = Vec::new();
            for mid in &group.mids {
                if let Some(index) = mids.get(mid.as_str()).copied()
                    && let Some(slot) = taken.get_mut(index)
                    && !std::mem::replace(slot, true)
                {
                    members.push(index);
                }
            }
            if !members.is_empty() {
                groups.push(members);
            }
        }
        groups
    }

    /// The m-line whose address, port and transport attributes hold for stream `index`: the tagged one of its
    /// group, or itself (RFC 8843 §7.1.3).
    pub fn transport_of(&self, index: usize) -> usize {
        let groups = self.bundles();
        groups
            .iter()
            .find(|group| group.contains(&index))
            .and_then(|group| group.first())
            .map_or(index, |tag| *tag)
    }

    /// Makes the groups of this answer out of those of `offer`, when all streams are accepted or refused (RFC 8843
    /// §7.3). In each group the first stream that was offered with a port and is accepted becomes the tagged one; the
    /// other accepted ones get port 0 and `bundle-only` and lose their transport attributes. Without such a stream
    /// there is no group, and what was offered only bundled is refused.
    pub fn answer_bundles(&mut self, offer: &SessionDescription) -> Result<(), UsageError> {
        self.attributes.retain(|one| !(one.name == "group" && one.value.is_some_and(is_bundle_value)));
        for group in offer.bundles() {
            let accepted: Vec<usize> = group
                .into_iter()
                .filter(|index| self.media.get(*index).is_some_and(|media| !media.is_rejected()))
                .collect();
            let offered_port = |index: &usize| offer.media.get(*index).is_some_and(|media| media.port != 0);
            let own_port = |index: &usize| self.media.get(*index).is_some_and(|media| media.port != 0);
            let tagged = accepted.iter().copied().find(|index| offered_port(index) && own_port(index));
            let mut mids = Vec::new();
            for index in tagged.iter().chain(accepted.iter().filter(|index| Some(**index) != tagged)) {
                let (Some(media), Some(offered)) = (self.media.get_mut(*index), offer.media.get(*index))
                else {
                    continue;
                };
                let Some(mid) = offered.attributes.value("mid") else { continue };
                match tagged {
                    None if offered.port == 0 => *media = offered.refusing(),
                    None => continue,
                    Some(tagged) => {
                        media.attributes.set(&Mid(mid.to_owned()))?;
                        mids.push(mid.to_owned());
                        if tagged != *index {
                            media.share()?;
                        }
                    }
                }
            }
            if !mids.is_empty() {
                self.attributes.push(&Group { semantics: "BUNDLE".to_owned(), mids })?;
            }
        }
        Ok(())
    }
}

impl MediaDescription {
    /// Leaves the transport to the tagged stream.
    fn share(&mut self) -> Result<(), UsageError> {
        self.port = 0;
        self.attributes.retain(|one| !TRANSPORT.contains(&one.name));
        if !self.attributes.contains("bundle-only") {
            self.attributes.push_text("bundle-only", None)?;
        }
        Ok(())
    }
}

/// What an answer's groups may be: each a part of one that was offered, with a stream that has a port; and what was
/// offered only bundled is bundled or refused (RFC 8843 §7.3, §7.3.2).
pub(crate) fn check_answer(offer: &SessionDescription, answer: &SessionDescription) -> Result<(), PeerError> {
    let offered = offer.bundles();
    if offered.is_empty() && !answer.attributes.contains("group") {
        return Ok(());
    }
    let answered = answer.bundles();
    for group in &answered {
        let Some(tagged) = group.first().copied() else { continue };
        let home = offered.iter().find(|one| one.contains(&tagged));
        if let Some(index) = group.iter().find(|index| !home.is_some_and(|home| home.contains(index))) {
            return Err(PeerError::Bundle { index: *index });
        }
        if answer.media.get(tagged).is_none_or(|media| media.port == 0) {
            return Err(PeerError::Bundle { index: tagged });
        }
    }
    for (index, (asked, given)) in offer.media.iter().zip(&answer.media).enumerate() {
        let only = asked.port == 0 && asked.attributes.contains("bundle-only");
        let alone = !answered.iter().any(|group| group.contains(&index));
        if only && alone && given.port != 0 {
            return Err(PeerError::Bundle { index });
        }
    }
    Ok(())
}

fn is_bundle(group: &Group) -> bool {
    group.semantics == "BUNDLE"
}

fn is_bundle_value(value: &str) -> bool {
    value.split(' ').next() == Some("BUNDLE")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Negotiator;

    /// The offer of RFC 8843 §7.2.2, with a stream that is only bundled.
    const OFFER: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP6 2001:db8::3\r\ns=-\r\nc=IN IP6 2001:db8::3\r\nt=0 0\r\n\
        a=group:BUNDLE foo bar zen\r\nm=audio 10000 RTP/AVP 0 8 97\r\na=mid:foo\r\na=rtcp-mux\r\na=rtpmap:97 iLBC/8000\r\n\
        m=video 10002 RTP/AVP 31 32\r\na=mid:bar\r\na=rtcp-mux\r\nm=video 0 RTP/AVP 32\r\na=mid:zen\r\na=bundle-only\r\n";

    fn read(text: &str) -> SessionDescription {
        SessionDescription::parse_strict(text).expect("a description")
    }

    /// An answer that takes the streams with a port in `ports`.
    fn answer(offer: &SessionDescription, ports: &[u16]) -> SessionDescription {
        let mut answer = SessionDescription::answer_to(offer, offer.origin.clone());
        answer.connection = offer.connection.clone();
        for (media, port) in answer.media.iter_mut().zip(ports) {
            if *port != 0 {
                media.port = *port;
                media.attributes.push_text("rtcp-mux", None).expect("plain");
            }
        }
        answer
    }

    fn ports(description: &SessionDescription) -> Vec<u16> {
        description.media.iter().map(|media| media.port).collect()
    }

    #[test]
    fn the_answer_of_rfc_8843() {
        let offer = read(OFFER);
        assert_eq!(offer.bundles(), [[0, 1, 2]]);
        let mut all = answer(&offer, &[20_000, 20_002, 20_004]);
        all.answer_bundles(&offer).expect("groups");
        assert_eq!((ports(&all), all.transport_of(2)), (vec![20_000, 0, 0], 0));
        assert_eq!(all.attributes.value("group"), Some("BUNDLE foo bar zen"));
        assert!(
            all.media[1].attributes.contains("bundle-only") && !all.media[1].attributes.contains("rtcp-mux")
        );
        assert!(!all.media[2].is_rejected() && all.media[0].attributes.contains("rtcp-mux"));
        assert_eq!(check_answer(&offer, &all), Ok(()));
        // The next that may be is the tagged one.
        let mut second = answer(&offer, &[0, 20_002, 20_004]);
        second.answer_bundles(&offer).expect("groups");
        assert_eq!((second.attributes.value("group"), second.transport_of(2)), (Some("BUNDLE bar zen"), 1));
        // With none to carry it, what is only bundled is refused.
        let mut none = answer(&offer, &[0, 0, 20_004]);
        none.answer_bundles(&offer).expect("groups");
        assert!(none.media[2].is_rejected() && none.bundles().is_empty());
    }

    #[test]
    fn groups_that_do_not_answer() {
        let offer = read(OFFER);
        let mut caller = Negotiator::new();
        caller.local_offer(offer.clone()).expect("an offer");
        let mut alone = answer(&offer, &[20_000, 20_002, 20_004]);
        assert_eq!(check_answer(&offer, &alone), Err(PeerError::Bundle { index: 2 }));
        assert_eq!(caller.remote_answer(alone.clone()).err(), Some(PeerError::Bundle { index: 2 }));
        alone.answer_bundles(&offer).expect("groups");
        caller.remote_answer(alone.clone()).expect("an answer");
        // Groups that nobody offered, and a tagged stream without a port.
        let plain =
            read(&OFFER.replace("a=group:BUNDLE foo bar zen\r\n", "").replace("m=video 0", "m=video 9"));
        assert_eq!(check_answer(&plain, &alone), Err(PeerError::Bundle { index: 0 }));
        alone.media[0].port = 0;
        assert_eq!(check_answer(&offer, &alone), Err(PeerError::Bundle { index: 0 }));
        // What browsers answer: every bundled stream with a port.
        let browser = read(&OFFER.replace("m=video 0", "m=video 9").replace("a=bundle-only\r\n", ""));
        assert_eq!(check_answer(&offer, &browser), Ok(()));
    }

    #[test]
    fn odd_groups() {
        let odd = read(&OFFER.replace(
            "BUNDLE foo bar zen",
            "BUNDLE nobody bar bar\r\na=group:LS foo\r\na=group:BUNDLE bar foo",
        ));
        assert_eq!(odd.bundles(), [[1], [0]]);
        assert_eq!(odd.transport_of(2), 2);
    }
}
