//! Documents that tell only what has changed, put together.
//!
//! Watchers (RFC 3858 §4.1), dialogs (RFC 4235 §4.3) and registrations (RFC 3680 §5.2) share the
//! rules: a full document takes the place of what was known; a partial one must be the next; what
//! is older is left out, and after a gap a full one has to be asked for.

use std::collections::HashMap;

use super::value::DocumentState;
use super::{
    ContactState, Dialog, DialogInfo, DialogStateName, RegInfo, RegisteredContact, RegistrationState,
    Watcher, WatcherInfo, WatcherList, WatcherStatus,
};

/// Rows that are kept of one resource.
const MAX_ROWS: usize = 16_384;

/// What became of a document.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// It is part of what is known now.
    Taken,
    /// It is not newer than what is known: nothing has changed.
    Old,
    /// One before it was lost, or there is more than is kept: subscribe anew to get all of it.
    Gap,
}

/// Whether a document with this version and state can be put on top of `known`.
fn judge(known: u32, version: u32, state: DocumentState) -> Option<Update> {
    match state {
        DocumentState::Full => None,
        _ if version <= known => Some(Update::Old),
        _ if known.checked_add(1) != Some(version) => Some(Update::Gap),
        _ => None,
    }
}

/// Where each row is. An index, because looking for each takes the square of the time.
fn index<T>(rows: &[T], key: impl Fn(&T) -> String) -> HashMap<String, usize> {
    rows.iter().enumerate().map(|(at, row)| (key(row), at)).collect()
}

/// Puts rows of a partial document in the place of those with the same key, and what is over out.
fn merge<T>(rows: &mut Vec<T>, new: Vec<T>, key: fn(&T) -> &str, over: fn(&T) -> bool) {
    let mut places = index(rows, |row| key(row).to_owned());
    for row in new {
        match places.get(key(&row)).and_then(|at| rows.get_mut(*at)) {
            Some(known) => *known = row,
            None => {
                places.insert(key(&row).to_owned(), rows.len());
                rows.push(row);
            }
        }
    }
    rows.retain(|row| !over(row));
}

impl DialogInfo {
    /// Takes in a newer document. Dialogs that have ended are in it until the next one comes.
    pub fn update(&mut self, newer: Self) -> Update {
        if let Some(judgement) = judge(self.version, newer.version, newer.state) {
            return judgement;
        }
        if newer.state == DocumentState::Full {
            *self = newer;
            return Update::Taken;
        }
        if self.dialogs.len().saturating_add(newer.dialogs.len()) > MAX_ROWS {
            return Update::Gap;
        }
        self.version = newer.version;
        self.dialogs.retain(|dialog| dialog.state.value != DialogStateName::Terminated);
        merge(&mut self.dialogs, newer.dialogs, |dialog: &Dialog| &dialog.id, |_| false);
        Update::Taken
    }
}

impl WatcherInfo {
    /// Takes in a newer document. Subscriptions that have ended leave it.
    pub fn update(&mut self, newer: Self) -> Update {
        if let Some(judgement) = judge(self.version, newer.version, newer.state) {
            return judgement;
        }
        if newer.state == DocumentState::Full {
            *self = newer;
            return Update::Taken;
        }
        let rows = |info: &Self| info.lists.iter().map(|list| 1 + list.watchers.len()).sum::<usize>();
        if rows(self).saturating_add(rows(&newer)) > MAX_ROWS {
            return Update::Gap;
        }
        self.version = newer.version;
        let name = |list: &WatcherList| format!("{} {}", list.package, list.resource);
        let over = |watcher: &Watcher| watcher.status == WatcherStatus::Terminated;
        let places = index(&self.lists, name);
        for list in newer.lists {
            match places.get(&name(&list)).and_then(|at| self.lists.get_mut(*at)) {
                Some(known) => merge(&mut known.watchers, list.watchers, |watcher| &watcher.id, over),
                None => self.lists.push(list),
            }
        }
        Update::Taken
    }
}

impl RegInfo {
    /// Takes in a newer document. Contacts that are no longer bound leave it.
    pub fn update(&mut self, newer: Self) -> Update {
        if let Some(judgement) = judge(self.version, newer.version, newer.state) {
            return judgement;
        }
        if newer.state == DocumentState::Full {
            *self = newer;
            return Update::Taken;
        }
        let rows = |info: &Self| info.registrations.iter().map(|row| 1 + row.contacts.len()).sum::<usize>();
        if rows(self).saturating_add(rows(&newer)) > MAX_ROWS {
            return Update::Gap;
        }
        self.version = newer.version;
        let over = |contact: &RegisteredContact| contact.state == ContactState::Terminated;
        let places = index(&self.registrations, |registration| registration.id.clone());
        for registration in newer.registrations {
            match places.get(&registration.id).and_then(|at| self.registrations.get_mut(*at)) {
                Some(known) => {
                    known.state = registration.state;
                    merge(&mut known.contacts, registration.contacts, |contact| &contact.id, over);
                }
                None => self.registrations.push(registration),
            }
        }
        self.registrations.retain(|registration| registration.state != RegistrationState::Terminated);
        Update::Taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presence::{DialogState, Lamp, RegisteredAddress};

    fn dialogs(version: u32, state: DocumentState, rows: &[(&str, DialogStateName)]) -> DialogInfo {
        let dialog = |(id, value): &(&str, DialogStateName)| Dialog {
            id: (*id).to_owned(),
            state: DialogState { value: value.clone(), ..DialogState::default() },
            ..Dialog::default()
        };
        DialogInfo { version, state, dialogs: rows.iter().map(dialog).collect(), ..DialogInfo::default() }
    }

    #[test]
    fn partial_documents_follow_one_another() {
        use DialogStateName::{Confirmed, Early, Terminated};
        use DocumentState::{Full, Partial};
        let mut known = dialogs(4, Full, &[("a", Early)]);
        assert_eq!(known.update(dialogs(5, Partial, &[("b", Confirmed)])), Update::Taken);
        assert_eq!((known.dialogs.len(), known.lamp()), (2, Lamp::Busy));
        assert_eq!(known.update(dialogs(5, Partial, &[("b", Terminated)])), Update::Old);
        assert_eq!(known.update(dialogs(7, Partial, &[("b", Terminated)])), Update::Gap);
        assert_eq!((known.version, known.lamp()), (5, Lamp::Busy), "neither has changed anything");
        assert_eq!(known.update(dialogs(6, Partial, &[("b", Terminated), ("a", Terminated)])), Update::Taken);
        assert_eq!((known.dialogs.len(), known.lamp()), (2, Lamp::Idle), "one can see how they ended");
        assert_eq!(known.update(dialogs(7, Partial, &[])), Update::Taken);
        assert!(known.dialogs.is_empty());
        // A notifier that was started anew counts from 0 again.
        assert_eq!(known.update(dialogs(0, Full, &[("c", Early)])), Update::Taken);
        assert_eq!((known.version, known.lamp()), (0, Lamp::Ringing));
    }

    #[test]
    fn watchers_come_and_go() {
        let info = |version, state, watchers: &[(&str, WatcherStatus)]| WatcherInfo {
            version,
            state,
            lists: vec![WatcherList {
                resource: "sip:alice@example.com".to_owned(),
                package: "presence".to_owned(),
                watchers: watchers
                    .iter()
                    .map(|(id, status)| Watcher {
                        id: (*id).to_owned(),
                        status: *status,
                        ..Watcher::default()
                    })
                    .collect(),
                ..WatcherList::default()
            }],
            ..WatcherInfo::default()
        };
        let mut known = info(0, DocumentState::Full, &[("1", WatcherStatus::Pending)]);
        let both = [("1", WatcherStatus::Active), ("2", WatcherStatus::Active)];
        assert_eq!(known.update(info(1, DocumentState::Partial, &both)), Update::Taken);
        assert_eq!(known.lists[0].watchers.len(), 2);
        assert_eq!(
            known.update(info(2, DocumentState::Partial, &[("1", WatcherStatus::Terminated)])),
            Update::Taken
        );
        assert_eq!(
            known.lists[0].watchers.iter().map(|watcher| watcher.id.as_str()).collect::<Vec<_>>(),
            ["2"]
        );
    }

    #[test]
    fn registrations_come_and_go() {
        let info = |version, state, contact: ContactState, row| RegInfo {
            version,
            state,
            registrations: vec![RegisteredAddress {
                id: "r".to_owned(),
                state: row,
                contacts: vec![RegisteredContact {
                    id: "c".to_owned(),
                    state: contact,
                    ..Default::default()
                }],
                ..RegisteredAddress::default()
            }],
            ..RegInfo::default()
        };
        let mut known = info(0, DocumentState::Full, ContactState::Active, RegistrationState::Active);
        let gone = info(1, DocumentState::Partial, ContactState::Terminated, RegistrationState::Active);
        assert_eq!(known.update(gone), Update::Taken);
        assert!(known.registrations[0].contacts.is_empty());
        let over = info(2, DocumentState::Partial, ContactState::Terminated, RegistrationState::Terminated);
        assert_eq!(known.update(over), Update::Taken);
        assert!(known.registrations.is_empty());
    }
}
