//! The side that is challenged (RFC 3261 §22.2, §22.3).

use super::{Challenge, Credentials, Digest};
use crate::{Method, Response, StatusCode};

/// How often one realm is answered with fresh nonces before it is given up.
const TRIES: u8 = 2;
/// How many realms one request answers.
const REALMS: usize = 4;

/// Whose challenges a request answers: a peer that challenges our BYE gets nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// The request goes to the account's own registrar, or to its own domain.
    pub(crate) server: bool,
    /// It goes through proxies that our caller named.
    pub(crate) proxies: bool,
}

/// The challenges that a request, or the requests of a dialog, answer.
#[derive(Debug, Clone)]
pub(crate) struct Authenticator {
    credentials: Credentials,
    /// The domain of From.
    domain: String,
    trust: Trust,
    answered: Vec<Answered>,
}

#[derive(Debug, Clone)]
struct Answered {
    proxy: bool,
    challenge: Challenge,
    nc: u32,
    tries: u8,
}

impl Authenticator {
    pub(crate) fn new(credentials: Credentials, domain: String, trust: Trust) -> Self {
        Self { credentials, domain, trust, answered: Vec::new() }
    }

    /// Takes the challenges of a 401 or 407; whether the request is to be sent again.
    pub(crate) fn challenged(&mut self, response: &Response) -> bool {
        let (proxy, name) = match response.status() {
            StatusCode::UNAUTHORIZED => (false, "WWW-Authenticate"),
            StatusCode::PROXY_AUTHENTICATION_REQUIRED => (true, "Proxy-Authenticate"),
            _ => return false,
        };
        // The strongest of each realm (RFC 8760 §2.4: the first that is supported; servers list
        // them by preference, so of equals the first stays).
        let mut chosen: Vec<Challenge> = Vec::new();
        for challenge in response.headers().texts(name).flat_map(Challenge::all) {
            if !self.is_for_us(&challenge.realm, proxy) {
                continue;
            }
            let full = chosen.len() >= REALMS;
            match chosen.iter_mut().find(|c| c.realm == challenge.realm) {
                Some(other) if other.algorithm < challenge.algorithm => *other = challenge,
                None if !full => chosen.push(challenge),
                Some(_) | None => {}
            }
        }
        let mut again = !chosen.is_empty();
        for challenge in chosen {
            again &= self.take(challenge, proxy);
        }
        again
    }

    /// The values of Authorization and Proxy-Authorization for the next request.
    pub(crate) fn authorize(
        &mut self,
        method: &Method,
        uri: &str,
        body: &[u8],
        cnonce: &str,
    ) -> impl Iterator<Item = (&'static str, String)> {
        let credentials = &self.credentials;
        self.answered.iter_mut().map(move |answered| {
            answered.nc = answered.nc.saturating_add(1);
            let digest = Digest { method: method.as_str(), uri, body, nc: answered.nc, cnonce };
            let name = if answered.proxy { "Proxy-Authorization" } else { "Authorization" };
            (name, answered.challenge.answer(credentials, &digest))
        })
    }

    /// A request was accepted: its nonces are good for the next one.
    pub(crate) fn succeeded(&mut self) {
        for answered in &mut self.answered {
            answered.tries = 0;
        }
    }

    fn take(&mut self, challenge: Challenge, proxy: bool) -> bool {
        let full = self.answered.len() >= REALMS;
        match self.answered.iter_mut().find(|a| a.proxy == proxy && a.challenge.realm == challenge.realm) {
            Some(answered) => {
                // The same nonce again without `stale`: the password is wrong (RFC 3261 §22.2).
                let fresh = challenge.stale || answered.challenge.nonce != challenge.nonce;
                if answered.tries >= TRIES || !fresh {
                    return false;
                }
                answered.tries += 1;
                (answered.challenge, answered.nc) = (challenge, 0);
                true
            }
            None if !full => {
                self.answered.push(Answered { proxy, challenge, nc: 0, tries: 1 });
                true
            }
            None => false,
        }
    }

    fn is_for_us(&self, realm: &str, proxy: bool) -> bool {
        match &self.credentials.realm {
            Some(own) => own == realm,
            None => {
                self.trust.server || (proxy && self.trust.proxies) || realm.eq_ignore_ascii_case(&self.domain)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: StatusCode, values: &[&str]) -> Response {
        let name = if status == StatusCode::UNAUTHORIZED { "WWW-Authenticate" } else { "Proxy-Authenticate" };
        let mut builder = Response::builder(status);
        for value in values {
            builder = builder.raw(name, value).unwrap();
        }
        builder.build()
    }

    fn authenticator(trust: Trust) -> Authenticator {
        Authenticator::new(Credentials::new("alice", "secret"), "example.com".to_owned(), trust)
    }

    #[test]
    fn the_strongest_algorithm_of_a_realm() {
        let mut auth = authenticator(Trust::default());
        assert!(auth.challenged(&response(
            StatusCode::UNAUTHORIZED,
            &[
                r#"Digest realm="example.com", nonce="1", algorithm=MD5"#,
                r#"Digest realm="example.com", nonce="2", algorithm=SHA-256, qop="auth""#,
            ],
        )));
        let headers: Vec<_> = auth.authorize(&Method::Register, "sip:example.com", b"", "c").collect();
        assert_eq!(headers.len(), 1);
        assert!(
            headers[0].1.contains("algorithm=SHA-256") && headers[0].1.contains("nc=00000001"),
            "{headers:?}"
        );
        let again: Vec<_> = auth.authorize(&Method::Register, "sip:example.com", b"", "c").collect();
        assert!(again[0].1.contains("nc=00000002"), "{again:?}");
    }

    /// RFC 8760 §2.4 and RFC 7616 §3.7: whatever their order, and what is not known is left out. Bodies
    /// are protected where nothing else is offered.
    #[test]
    fn the_strongest_of_three_in_any_order() {
        let realm = |algorithm: &str, qop: &str| {
            format!(r#"Digest realm="example.com", nonce="{algorithm}", algorithm={algorithm}, qop="{qop}""#)
        };
        let offered = ["MD5", "SHA-512-256", "SHA-256", "SHA3-999", "MD5-sess"].map(|a| realm(a, "auth"));
        for turn in 0..offered.len() {
            let mut values: Vec<&str> = offered.iter().map(String::as_str).collect();
            values.rotate_left(turn);
            let mut auth = authenticator(Trust::default());
            assert!(auth.challenged(&response(StatusCode::UNAUTHORIZED, &values)));
            let (_, answer) = auth.authorize(&Method::Register, "sip:example.com", b"", "c").next().unwrap();
            assert!(answer.contains("algorithm=SHA-512-256") && answer.contains("qop=auth,"), "{answer}");
        }
        let answered = |qop: &str, body: &[u8]| {
            let mut auth = authenticator(Trust::default());
            assert!(auth.challenged(&response(StatusCode::UNAUTHORIZED, &[&realm("SHA-256", qop)])));
            let (_, answer) = auth.authorize(&Method::Message, "sip:b@c", body, "c").next().unwrap();
            answer
        };
        assert!(answered("auth-int", b"one").contains("qop=auth-int"));
        assert_ne!(answered("auth-int", b"one"), answered("auth-int", b"two"), "the body counts");
        assert_eq!(answered("auth,auth-int", b"one"), answered("auth,auth-int", b"two"));
    }

    #[test]
    fn two_tries_per_realm_and_none_for_a_wrong_password() {
        let challenge = |n: u32| {
            response(StatusCode::UNAUTHORIZED, &[&format!(r#"Digest realm="example.com", nonce="{n}""#)])
        };
        let mut auth = authenticator(Trust::default());
        assert!(auth.challenged(&challenge(1)));
        assert!(!auth.challenged(&challenge(1)), "the same nonce again");
        assert!(auth.challenged(&challenge(2)));
        assert!(!auth.challenged(&challenge(3)));
        auth.succeeded();
        assert!(auth.challenged(&challenge(4)), "much later the nonce is old");
    }

    #[test]
    fn strangers_get_nothing() {
        let stranger = |status| response(status, &[r#"Digest realm="evil.example", nonce="1""#]);
        let (www, proxy) = (StatusCode::UNAUTHORIZED, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        assert!(!authenticator(Trust::default()).challenged(&stranger(www)));
        assert!(!authenticator(Trust::default()).challenged(&stranger(proxy)));
        let proxies = Trust { proxies: true, ..Trust::default() };
        assert!(authenticator(proxies).challenged(&stranger(proxy)));
        assert!(!authenticator(proxies).challenged(&stranger(www)));
        let server = Trust { server: true, ..Trust::default() };
        assert!(authenticator(server).challenged(&stranger(www)));
        let mut bound = authenticator(server);
        bound.credentials.realm = Some("example.com".to_owned());
        assert!(!bound.challenged(&stranger(www)), "a given realm is the only one");
    }

    #[test]
    fn a_proxy_and_a_server_at_once() {
        let mut auth = authenticator(Trust { server: true, proxies: true });
        let (www, proxy) = (StatusCode::UNAUTHORIZED, StatusCode::PROXY_AUTHENTICATION_REQUIRED);
        assert!(auth.challenged(&response(proxy, &[r#"Digest realm="p", nonce="1""#])));
        assert!(auth.challenged(&response(www, &[r#"Digest realm="s", nonce="2""#])));
        let names: Vec<_> =
            auth.authorize(&Method::Invite, "sip:b@c", b"", "c").map(|(name, _)| name).collect();
        assert_eq!(names, ["Proxy-Authorization", "Authorization"]);
    }
}
