//! Bodies that compare our readers with those of other people's crates, which the crates themselves must not depend on.
//! `middleware/tests/fuzz_replay.rs` takes this file in and replays it on a stable compiler.

use std::io::Cursor;

/// A target: any bytes.
pub type Target = fn(&[u8]);

/// Name and body of each target.
pub const TARGETS: &[(&str, Target)] = &[("sdp_beside_rtc", sdp_beside_rtc)];

/// What `sdp` reads without a complaint and the crate `rtc-sdp` reads too is to both the same session, the same media
/// and the same attributes. What only one of the two takes is not judged: they are strict in different places.
pub fn sdp_beside_rtc(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // rtc-sdp takes any white space of Unicode for a space, RFC 8866 does not.
    if text.chars().any(|c| c.is_whitespace() && !" \r\n".contains(c)) {
        return;
    }
    let Ok(ours) = sdp::SessionDescription::parse(text) else { return };
    if !ours.defects().is_empty() {
        return;
    }
    let Ok(theirs) = rtc_sdp::SessionDescription::unmarshal(&mut Cursor::new(data)) else { return };

    let origin = &theirs.origin;
    assert_eq!(ours.origin.username.as_str(), origin.username, "o=, user");
    assert_eq!(ours.origin.session_id.as_u64(), Some(origin.session_id), "o=, session");
    assert_eq!(ours.origin.session_version, origin.session_version, "o=, version");
    assert_eq!(ours.origin.address.host.as_str(), origin.unicast_address, "o=, address");
    assert_eq!(ours.name.trim(), theirs.session_name, "s=");
    assert_eq!(host(ours.connection.as_ref()), theirs_host(theirs.connection_information.as_ref()), "c=");
    assert_eq!(
        attributes(&ours.attributes),
        theirs_attributes(&theirs.attributes),
        "attributes of the session"
    );
    assert_eq!(bandwidths(&ours.bandwidth), theirs_bandwidths(&theirs.bandwidth), "b=");
    let times: Vec<_> = ours.times.iter().map(|time| (time.start, time.stop)).collect();
    let their_times: Vec<_> =
        theirs.time_descriptions.iter().map(|time| (time.timing.start_time, time.timing.stop_time)).collect();
    assert_eq!(times, their_times, "t=");

    assert_eq!(ours.media.len(), theirs.media_descriptions.len(), "how many media");
    for (ours, theirs) in ours.media.iter().zip(&theirs.media_descriptions) {
        let name = &theirs.media_name;
        assert_eq!(ours.media.as_str(), name.media, "m=, kind");
        assert_eq!(isize::try_from(ours.port).ok(), Some(name.port.value), "m=, port");
        assert_eq!(
            ours.port_count.and_then(|count| isize::try_from(count).ok()),
            name.port.range,
            "m=, ports"
        );
        assert_eq!(ours.protocol.as_str(), name.protos.join("/"), "m=, protocol");
        assert_eq!(ours.formats.iter().collect::<Vec<_>>(), name.formats, "m=, formats");
        // rtc-sdp keeps the last of several c= lines.
        assert_eq!(host(ours.connections.last()), theirs_host(theirs.connection_information.as_ref()), "c=");
        assert_eq!(
            attributes(&ours.attributes),
            theirs_attributes(&theirs.attributes),
            "attributes of a medium"
        );
        assert_eq!(bandwidths(&ours.bandwidth), theirs_bandwidths(&theirs.bandwidth), "b= of a medium");
    }
}

fn host(connection: Option<&sdp::Connection>) -> Option<&str> {
    connection.map(|connection| connection.address.host.as_str())
}

/// Without a TTL and a number of addresses.
fn theirs_host(connection: Option<&rtc_sdp::description::common::ConnectionInformation>) -> Option<&str> {
    let address = &connection?.address.as_ref()?.address;
    address.split('/').next()
}

/// rtc-sdp takes white space off the ends of a line.
fn attributes(list: &sdp::Attributes) -> Vec<(String, Option<String>)> {
    list.iter().map(|a| (a.name.to_owned(), a.value.map(|value| value.trim_end().to_owned()))).collect()
}

fn theirs_attributes(list: &[rtc_sdp::description::common::Attribute]) -> Vec<(String, Option<String>)> {
    list.iter().map(|attribute| (attribute.key.clone(), attribute.value.clone())).collect()
}

fn bandwidths(list: &[sdp::Bandwidth]) -> Vec<(String, u64)> {
    list.iter().map(|bandwidth| (bandwidth.kind.as_str().to_owned(), bandwidth.value)).collect()
}

/// rtc-sdp takes the `X-` of an experimental kind away.
fn theirs_bandwidths(list: &[rtc_sdp::description::common::Bandwidth]) -> Vec<(String, u64)> {
    list.iter()
        .map(|bandwidth| {
            let prefix = if bandwidth.experimental { "X-" } else { "" };
            (format!("{prefix}{}", bandwidth.bandwidth_type), bandwidth.bandwidth)
        })
        .collect()
}
