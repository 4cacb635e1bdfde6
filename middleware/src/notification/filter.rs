//! What an observer wants to hear.

use super::{Notification, Sender};

/// Which notifications an observer gets: by name, by sender, by both, or all.
///
/// Several filters are joined by [`or`](Filter::or); what matches twice is delivered once.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    alternatives: Vec<One>,
    current: One,
}

#[derive(Clone, Debug, Default)]
struct One {
    name: Option<String>,
    sender: Option<Sender>,
}

impl Filter {
    /// Everything.
    pub fn any() -> Self {
        Self::default()
    }

    /// Only those with this bus name.
    pub fn name(mut self, name: &str) -> Self {
        self.current.name = Some(name.to_owned());
        self
    }

    /// Only those about this object.
    pub fn sender(mut self, sender: impl Into<Sender>) -> Self {
        self.current.sender = Some(sender.into());
        self
    }

    /// What `self` lets through, and also what `other` does.
    pub fn or(mut self, other: Filter) -> Self {
        let Filter { alternatives, current } = other;
        self.alternatives.extend(alternatives);
        self.alternatives.push(current);
        self
    }

    pub(super) fn matches(&self, notification: &Notification) -> bool {
        self.current.matches(notification) || self.alternatives.iter().any(|one| one.matches(notification))
    }
}

impl One {
    fn matches(&self, notification: &Notification) -> bool {
        self.name.as_deref().is_none_or(|name| name == notification.name())
            && self.sender.as_ref().is_none_or(|sender| sender.is(notification.sender()))
    }
}
