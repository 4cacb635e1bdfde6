//! The state of a list (RFC 4662): one document that says which part of a multipart body belongs
//! to whom, and the assembly of both.

use super::multipart::Part;
use super::namespace::RLMI;
use super::schema::{Node, Value};
use super::value::Note;
use super::xml::{Attribute, Element, Namespaces};

elements! {
    /// The resources of a list.
    pub struct ResourceList {
        /// The list.
        must uri: String = "uri";
        /// Counts documents; a gap means that one was lost (RFC 4662 §5.6).
        must version: u32 = "version";
        /// Whether all resources are told of, or those that changed.
        must full_state: bool = "fullState";
        /// The Content-ID of this part.
        may cid: String = "cid";
        /// For people.
        many names: Note = "name";
        /// The resources.
        many resources: Resource = "resource";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
        /// The prefixes.
        names namespaces: Namespaces;
    }

    /// A resource of the list.
    pub struct Resource {
        /// Its URI.
        must uri: String = "uri";
        /// For people.
        many names: Note = "name";
        /// What there is of it: more than one if its own request was forked.
        many instances: Instance = "instance";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }

    /// A virtual subscription to the resource.
    pub struct Instance {
        /// Tells it from the others of the resource.
        must id: String = "id";
        /// As in Subscription-State.
        must state: InstanceState = "state";
        /// Why it ended.
        may reason: String = "reason";
        /// The Content-ID of the part with its state.
        may cid: String = "cid";
        /// Elements that are not known here.
        rest extensions: Element;
        /// Attributes that are not known here.
        extra attributes: Attribute;
    }
}

words! {
    closed
    /// The state of a virtual subscription.
    pub enum InstanceState {
        Active = "active",
        Pending = "pending",
        Terminated = "terminated",
    }
}

document!(ResourceList, RLMI, "list", "application/rlmi+xml");

/// What a notification tells of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedState<'a> {
    /// Whose state.
    pub resource: &'a Resource,
    /// Which instance.
    pub instance: &'a Instance,
    /// Its state; `None` where nothing was sent.
    pub part: Option<&'a Part>,
}

impl ResourceList {
    /// Finds the part of each instance among those of a multipart body.
    #[must_use]
    pub fn assemble<'a>(&'a self, parts: &'a [Part]) -> Vec<ListedState<'a>> {
        // Sorted, so that long lists do not take the square of their length.
        let mut by_id: Vec<(&str, &Part)> =
            parts.iter().filter_map(|part| Some((part.content_id.as_deref()?, part))).collect();
        by_id.sort_by_key(|(id, _)| *id);
        let find = |cid: &str| {
            let cid = cid.trim_start_matches('<').trim_end_matches('>');
            let at = by_id.binary_search_by_key(&cid, |(id, _)| *id).ok()?;
            by_id.get(at).map(|(_, part)| *part)
        };
        let instances =
            |resource: &'a Resource| resource.instances.iter().map(move |instance| (resource, instance));
        self.resources
            .iter()
            .flat_map(instances)
            .map(|(resource, instance)| ListedState {
                resource,
                instance,
                part: instance.cid.as_deref().and_then(find),
            })
            .collect()
    }
}
