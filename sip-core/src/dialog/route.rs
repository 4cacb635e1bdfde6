//! Where a request goes, and what that does to its Request-URI and Route (RFC 3261 §12.2.1.1).

use crate::{NameAddr, Uri};

/// Something with the next hop it goes to.
#[derive(Debug, Clone)]
pub struct Routed<T> {
    /// The URI that says where to send it.
    pub next_hop: Uri,
    /// The request.
    pub value: T,
}

impl Routed<(Uri, Vec<NameAddr>)> {
    /// Request-URI and Route of a request to `target` through `routes`.
    pub fn new(target: &Uri, routes: &[NameAddr]) -> Self {
        let Some((first, rest)) = routes.split_first() else {
            return Self { next_hop: target.clone(), value: (target.clone(), Vec::new()) };
        };
        if first.uri.has_param("lr") {
            return Self { next_hop: first.uri.clone(), value: (target.clone(), routes.to_vec()) };
        }
        // A strict router of RFC 2543: it is the Request-URI, and the target comes last.
        let mut left = rest.to_vec();
        left.push(NameAddr::new(target.clone()));
        let next_hop = first.uri.without_headers().without_param("method");
        Self { value: (next_hop.clone(), left), next_hop }
    }

    /// Makes the request.
    pub fn map<T>(self, make: impl FnOnce(&Uri, Vec<NameAddr>) -> T) -> Routed<T> {
        let (uri, routes) = self.value;
        Routed { value: make(&uri, routes), next_hop: self.next_hop }
    }
}
