//! Where a refused request may go instead (RFC 3261 §8.1.3.4, §13.2.2.2).

use crate::{NameAddr, Response, Uri, header::Contact};
use std::collections::VecDeque;

/// The contacts of a 3xx, the most preferred first; those without `q` count as 1, and equal ones stay
/// in their order (RFC 3261 §20.10).
pub fn redirect_contacts(response: &Response) -> Vec<NameAddr> {
    let contacts = response.headers().all::<Contact>().filter_map(|contact| match contact.ok()? {
        Contact::Addr(addr) => Some(addr),
        Contact::Star => None,
    });
    let mut contacts: Vec<_> = contacts.take(MAX_CONTACTS).collect();
    contacts.sort_by_key(|addr| std::cmp::Reverse(thousandths(addr)));
    contacts
}

/// Contacts of one response that are looked at.
const MAX_CONTACTS: usize = 32;

/// The `q` of a contact: 0 to 1 with three decimals.
fn thousandths(addr: &NameAddr) -> u32 {
    let Some(text) = addr.params.get("q") else { return 1_000 };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = part.bytes().chain(std::iter::repeat(b'0')).take(3);
    let part = digits.fold(0, |sum, b| sum * 10 + u32::from(b.wrapping_sub(b'0').min(9)));
    match whole {
        "0" | "" => part,
        _ => 1_000,
    }
}

/// Follows redirections: every address once, and not for ever.
///
/// ```
/// use sip_core::usage::Redirection;
///
/// let mut redirection = Redirection::new(&"sip:bob@example.com".parse()?, 5);
/// // After each Event::Failed with a response of class 3: redirection.redirected(&response).
/// assert_eq!(redirection.next_target(), None);
/// # Ok::<(), sip_core::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Redirection {
    tried: Vec<Uri>,
    left: VecDeque<Uri>,
    max: usize,
}

impl Redirection {
    /// For a request to `target`; at most `max` further ones are tried.
    pub fn new(target: &Uri, max: usize) -> Self {
        Self { tried: vec![target.clone()], left: VecDeque::new(), max }
    }

    /// A 3xx came: its contacts are tried before those of earlier ones. A sips target is never
    /// left for a sip one (RFC 3261 §8.1.3.4).
    pub fn redirected(&mut self, response: &Response) {
        if !response.status().is_redirect() {
            return;
        }
        let secure = self.tried.first().is_some_and(|uri| uri.scheme() == crate::Scheme::Sips);
        for contact in redirect_contacts(response).into_iter().rev() {
            let uri = contact.uri;
            let known = self.tried.iter().chain(&self.left).any(|other| other.equivalent(&uri));
            let downgrade = secure && uri.scheme() != crate::Scheme::Sips;
            if !known && !downgrade && self.left.len() < self.max {
                self.left.push_front(uri);
            }
        }
    }

    /// The next address to try. Headers in its URI are for the new request: the caller decides
    /// which of them it takes (RFC 3261 §19.1.5).
    pub fn next_target(&mut self) -> Option<Uri> {
        if self.tried.len() > self.max {
            return None;
        }
        let uri = self.left.pop_front()?;
        self.tried.push(uri.clone());
        Some(uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, Message};

    fn moved(contacts: &str) -> Response {
        let text = format!("SIP/2.0 302 Moved\r\n{contacts}\r\n\r\n");
        match Message::parse(text.into_bytes().into(), &Limits::default()) {
            Ok(Message::Response(response)) => response,
            other => panic!("a response, not {other:?}"),
        }
    }

    fn all(redirection: &mut Redirection) -> Vec<String> {
        std::iter::from_fn(|| redirection.next_target()).map(|uri| uri.to_string()).collect()
    }

    #[test]
    fn preferred_first_and_each_once() {
        let mut redirection = Redirection::new(&"sip:a@x".parse().unwrap(), 5);
        redirection.redirected(&moved(
            "Contact: <sip:b@x>;q=0.25, <sip:c@x>;q=0.7, <sip:A@x>\r\nContact: <sip:a@X>, <sip:d@x>, *",
        ));
        assert_eq!(redirection.next_target().unwrap().as_str(), "sip:A@x", "users compare with case");
        redirection.redirected(&moved("Contact: <sip:a@x>, <sip:e@x>;q=0.1, <sip:b@x>"));
        assert_eq!(all(&mut redirection), ["sip:e@x", "sip:d@x", "sip:c@x", "sip:b@x"], "RFC 3261 §8.1.3.4");
    }

    #[test]
    fn not_for_ever() {
        let mut redirection = Redirection::new(&"sip:a@x".parse().unwrap(), 3);
        for n in 0..9 {
            redirection.redirected(&moved(&format!("Contact: <sip:{n}@x>")));
            assert_eq!(redirection.next_target().is_some(), n < 3);
        }
    }

    #[test]
    fn sips_stays_sips() {
        let mut redirection = Redirection::new(&"sips:a@x".parse().unwrap(), 3);
        redirection.redirected(&moved("Contact: <sip:b@x>, <sips:c@x>"));
        assert_eq!(all(&mut redirection), ["sips:c@x"]);
    }
}
