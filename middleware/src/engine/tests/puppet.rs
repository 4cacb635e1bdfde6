//! A peer that a trace moves by hand: it sends what its commands say, right or wrong, and little else.
//!
//! By itself it answers BYE, CANCEL (with 487 to the INVITE), PRACK, UPDATE, INFO and NOTIFY, and
//! acknowledges what is answered to its INVITEs, unless they were sent with `noack`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use bytes::Bytes;
use sip_core::{Limits, Message, Method, Request, Response};
use testkit::{Delivery, Host, Network};

pub(super) struct Puppet {
    pub(super) address: SocketAddr,
    peer: SocketAddr,
    out: VecDeque<String>,
    /// The last INVITE that came.
    invited: Option<Request>,
    /// The last request of another kind that waits for an answer.
    asked: Option<Request>,
    /// Ours, as it was sent last.
    invite: Option<String>,
    dialog: Dialog,
    cseq: u32,
    branch: u32,
    versions: u32,
    acks: bool,
    ack_body: Option<String>,
    /// The last reliable provisional response, as RAck names it.
    rack: Option<String>,
}

/// What requests within the dialog say.
#[derive(Clone, Debug, Default)]
struct Dialog {
    call_id: String,
    local: String,
    remote: String,
    target: String,
}

impl Puppet {
    pub(super) fn new(address: SocketAddr, peer: SocketAddr) -> Self {
        Self {
            address,
            peer,
            out: VecDeque::new(),
            invited: None,
            asked: None,
            invite: None,
            dialog: Dialog::default(),
            cseq: 100,
            branch: 0,
            versions: 0,
            acks: true,
            ack_body: None,
            rack: None,
        }
    }

    /// Carries a command of a trace out.
    pub(super) fn command(&mut self, words: &[&str]) {
        let options = &words[1..];
        let said = |name: &str| {
            options.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
        };
        let body = self.body(options);
        let headers: String = options
            .iter()
            .filter_map(|word| word.strip_prefix("H="))
            .map(|header| format!("{}\r\n", header.replacen(':', ": ", 1).replace('_', " ")))
            .collect();
        match words[0] {
            "answer" => {
                let invited = self.invited.clone().expect("an INVITE came");
                let tag = said("tag").unwrap_or_else(|| "puppet".to_owned());
                self.remember(&invited, &tag);
                let reliable = said("rel").map(|number| format!("Require: 100rel\r\nRSeq: {number}\r\n"));
                let headers = format!("{}{headers}", reliable.unwrap_or_default());
                self.respond(&invited, options[0], &tag, &headers, &body);
            }
            "respond" => {
                let asked = self.asked.take().expect("a request came");
                self.respond(&asked, options[0], "puppet", &headers, &body);
            }
            "invite" => {
                self.acks = !options.contains(&"noack");
                self.ack_body = said("ack").map(|kind| self.sdp(&kind));
                self.dialog = Dialog {
                    call_id: format!("call{}", self.branch),
                    local: format!("<sip:bob@{}>;tag=puppet", self.address),
                    remote: format!("<sip:alice@{}>", self.peer),
                    target: format!("sip:alice@{}", self.peer),
                };
                self.request("INVITE", &headers, &body);
            }
            "reinvite" => {
                self.acks = true;
                self.ack_body = said("ack").map(|kind| self.sdp(&kind));
                self.request("INVITE", &headers, &body);
            }
            "cancel" => {
                let invite = self.invite.clone().expect("an INVITE was sent");
                let head = invite.split("\r\nContact").next().unwrap_or_default();
                let cancel = head.replacen("INVITE", "CANCEL", 2);
                self.out.push_back(format!("{cancel}\r\nContent-Length: 0\r\n\r\n"));
            }
            "request" => self.request(options[0], &headers, &body),
            "prack" => {
                let rack = self.rack.take().expect("a reliable response came");
                self.request("PRACK", &format!("RAck: {rack}\r\n{headers}"), &body);
            }
            "outside" => {
                let dialog = Dialog {
                    call_id: format!("out{}", self.branch),
                    local: format!("<sip:bob@{}>;tag=outside", self.address),
                    remote: format!("<sip:alice@{}>", self.peer),
                    target: format!("sip:alice@{}", self.peer),
                };
                let own = std::mem::replace(&mut self.dialog, dialog);
                self.request(options[0], &headers, &body);
                self.dialog = own;
            }
            verb => panic!("no such command: {verb}"),
        }
    }

    /// A body and its type: `sdp`, `sdp=sendonly`, `sdp=audio,chat`, `text=hello`.
    fn body(&mut self, options: &[&str]) -> Option<(String, String)> {
        options.iter().find_map(|word| match word.split_once('=') {
            None if *word == "sdp" => Some(("application/sdp".to_owned(), self.sdp(""))),
            Some(("sdp", kind)) => Some(("application/sdp".to_owned(), self.sdp(kind))),
            Some(("text", text)) => Some(("text/plain".to_owned(), text.to_owned())),
            Some(("relay", digit)) => {
                Some(("application/dtmf-relay".to_owned(), format!("Signal={digit}\r\nDuration=100\r\n")))
            }
            Some(("candidates", ports)) => {
                Some(("application/trickle-ice-sdpfrag".to_owned(), self.candidates(ports)))
            }
            Some(("frag", status)) => {
                let body = format!("SIP/2.0 {}\r\n", status.replace('_', " "));
                Some(("message/sipfrag;version=2.0".to_owned(), body))
            }
            _ => None,
        })
    }

    fn sdp(&mut self, kind: &str) -> String {
        self.versions += 1;
        let ip = self.address.ip();
        let mut sdp =
            format!("v=0\r\no=- 7 {} IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n", self.versions);
        let port = if kind.contains("refused") { 0 } else { 50_000 };
        let profile = if kind.contains("savp") { "RTP/SAVP" } else { "RTP/AVP" };
        let codec = if kind.contains("nocodec") { "96" } else { "0" };
        sdp.push_str(&format!("m=audio {port} {profile} {codec} 101\r\na=rtpmap:0 PCMU/8000\r\n"));
        sdp.push_str("a=rtpmap:101 telephone-event/8000\r\n");
        for direction in ["sendonly", "recvonly", "inactive"] {
            if kind.contains(direction) {
                sdp.push_str(&format!("a={direction}\r\n"));
            }
        }
        if kind.contains("ice") {
            sdp.push_str("a=mid:0\r\na=rtcp-mux\r\na=ice-ufrag:pupp\r\na=ice-pwd:0123456789012345678901\r\n");
            sdp.push_str("a=ice-options:ice2 trickle\r\n");
            sdp.push_str(&format!("a=candidate:1 1 UDP 2 {ip} 50000 typ host\r\n"));
        }
        if kind.contains("chat") {
            // Something on the way has another port.
            let port = if kind.contains("elsewhere") { 9_000 } else { 2_855 };
            sdp.push_str(&format!("m=message {port} TCP/MSRP *\r\na=accept-types:text/plain\r\n"));
            for attribute in ["setup:active", "setup:passive", "msrp-cema"] {
                if kind.contains(attribute) {
                    sdp.push_str(&format!("a={attribute}\r\n"));
                }
            }
            sdp.push_str(&format!("a=path:msrp://{ip}:2855/puppet;tcp\r\n"));
        }
        if kind.contains("file") {
            sdp.push_str("m=message 2855 TCP/MSRP *\r\na=sendonly\r\na=accept-types:*\r\n");
            sdp.push_str("a=file-selector:name:\"photo.jpg\" type:image/jpeg size:10\r\n");
            sdp.push_str("a=file-transfer-id:f1\r\n");
            sdp.push_str(&format!("a=path:msrp://{ip}:2855/file;tcp\r\n"));
        }
        sdp
    }

    /// `7002,7004,all`, and with `other` of another generation.
    fn candidates(&self, what: &str) -> String {
        let ufrag = if what.contains("other") { "othr" } else { "pupp" };
        let mut text = format!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789012345678901\r\n");
        text.push_str("m=audio 9 RTP/AVP 0\r\na=mid:0\r\n");
        for port in what.split(',').filter_map(|word| word.parse::<u16>().ok()) {
            text.push_str(&format!("a=candidate:1 1 UDP 1 {} {port} typ host\r\n", self.address.ip()));
        }
        if what.contains("all") {
            text.push_str("a=end-of-candidates\r\n");
        }
        text
    }

    fn remember(&mut self, invited: &Request, tag: &str) {
        let text = |name: &str| invited.headers().text(name).unwrap_or_default().to_owned();
        let to = text("To");
        let contact: sip_core::header::Contact = invited.header().expect("a Contact");
        let sip_core::header::Contact::Addr(contact) = contact else { panic!("a Contact of an INVITE") };
        self.dialog = Dialog {
            call_id: text("Call-ID"),
            local: if to.contains("tag=") { to } else { format!("{to};tag={tag}") },
            remote: text("From"),
            target: contact.uri.to_string(),
        };
    }

    fn request(&mut self, method: &str, headers: &str, body: &Option<(String, String)>) {
        self.cseq += 1;
        self.branch += 1;
        let Dialog { call_id, local, remote, target } = &self.dialog;
        let (via, branch, cseq) = (self.address, self.branch, self.cseq);
        let request = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {via};branch=z9hG4bKp{branch}\r\n\
             Max-Forwards: 70\r\nFrom: {local}\r\nTo: {remote}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:bob@{via}>\r\n{headers}{}",
            with_body(body)
        );
        if method == "INVITE" {
            self.invite = Some(request.clone());
        }
        self.out.push_back(request);
    }

    fn respond(
        &mut self,
        request: &Request,
        code: &str,
        tag: &str,
        headers: &str,
        body: &Option<(String, String)>,
    ) {
        let status = sip_core::StatusCode::new(code.parse().expect("a code")).expect("a code");
        let mut response = format!("SIP/2.0 {status} {}\r\n", status.default_reason());
        for via in request.headers().texts("Via") {
            response.push_str(&format!("Via: {via}\r\n"));
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let value = request.headers().text(name).unwrap_or_default();
            let tag =
                if name == "To" && !value.contains("tag=") { format!(";tag={tag}") } else { String::new() };
            response.push_str(&format!("{name}: {value}{tag}\r\n"));
        }
        let contact = if headers.contains("Contact:") {
            String::new()
        } else {
            format!("Contact: <sip:bob@{}>\r\n", self.address)
        };
        response.push_str(&format!("{contact}{headers}{}", with_body(body)));
        self.out.push_back(response);
    }

    fn got_request(&mut self, request: Request) {
        match request.method() {
            Method::Invite => self.invited = Some(request),
            Method::Ack => {}
            Method::Cancel => {
                self.respond(&request, "200", "puppet", "", &None);
                if let Some(invited) = self.invited.clone() {
                    self.respond(&invited, "487", "puppet", "", &None);
                }
            }
            Method::Bye | Method::Prack | Method::Update | Method::Info | Method::Notify => {
                self.respond(&request, "200", "puppet", "", &None);
            }
            _ => self.asked = Some(request),
        }
    }

    fn got_response(&mut self, response: &Response) {
        let cseq = response.headers().text("CSeq").unwrap_or_default().to_owned();
        if let Some(rseq) = response.headers().text("RSeq") {
            self.rack = Some(format!("{rseq} {cseq}"));
        }
        if !cseq.ends_with("INVITE") || !response.status().is_final() {
            let to = response.headers().text("To").unwrap_or_default();
            if cseq.ends_with("INVITE") && to.contains("tag=") {
                self.dialog.remote = to.to_owned();
            }
            return;
        }
        let (number, to) =
            (cseq.split(' ').next().unwrap_or_default(), response.headers().text("To").unwrap_or_default());
        let via = self.invite.as_deref().and_then(|invite| invite.split("\r\n").nth(1)).unwrap_or_default();
        let via = via.to_owned();
        if response.status().is_success() {
            self.dialog.remote = to.to_owned();
            if !self.acks {
                return;
            }
        }
        let Dialog { call_id, local, target, .. } = &self.dialog;
        let via = match response.status().is_success() {
            true => format!("Via: SIP/2.0/UDP {};branch=z9hG4bKa{number}", self.address),
            false => via,
        };
        let body = self.ack_body.take().map(|sdp| ("application/sdp".to_owned(), sdp));
        self.out.push_back(format!(
            "ACK {target} SIP/2.0\r\n{via}\r\nMax-Forwards: 70\r\nFrom: {local}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {number} ACK\r\n{}",
            with_body(&body)
        ));
    }
}

fn with_body(body: &Option<(String, String)>) -> String {
    match body {
        None => "Content-Length: 0\r\n\r\n".to_owned(),
        Some((kind, text)) => format!("Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{text}", text.len()),
    }
}

impl Host for Puppet {
    fn owns(&self, address: SocketAddr) -> bool {
        address == self.address
    }

    fn receive(&mut self, _: Instant, delivery: Delivery) {
        let Delivery::Datagram(datagram) = delivery else { panic!("only datagrams here: {delivery:?}") };
        match Message::parse(Bytes::from(datagram.data), &Limits::default()) {
            Ok(Message::Request(request)) => self.got_request(request),
            Ok(Message::Response(response)) => self.got_response(&response),
            Err(error) => panic!("a message: {error}"),
        }
    }

    fn timeout(&mut self, _: Instant) {}

    fn flush(&mut self, now: Instant, network: &mut Network) -> Option<Instant> {
        for message in self.out.drain(..) {
            network.send(now, self.address, self.peer, message.into_bytes());
        }
        None
    }
}
