//! How much content waits for its observers. MSRP reads no further while it is too much, so that an application that
//! is slow slows its peers, and not this host's memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::{Event, MsrpChatEvent, Notification, SessionEvent};

/// Bytes of content that may wait before nothing more is read.
const LIMIT: u64 = 1 << 20;
/// What a message takes beside its content.
const OVERHEAD: u64 = 512;

/// The content in all queues of a centre.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backlog(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    bytes: AtomicU64,
    freed: Notify,
}

/// A notification in a queue; dropping it, or taking it out, makes room.
#[derive(Debug)]
pub(super) struct Waiting {
    notification: Notification,
    _held: Held,
}

#[derive(Debug)]
struct Held {
    backlog: Backlog,
    bytes: u64,
}

impl Backlog {
    pub(super) fn hold(&self, notification: Notification) -> Waiting {
        let bytes = content(notification.event());
        self.0.bytes.fetch_add(bytes, Ordering::AcqRel);
        Waiting { notification, _held: Held { backlog: self.clone(), bytes } }
    }

    /// Whether nothing more should be read for now.
    pub(crate) fn is_full(&self) -> bool {
        self.0.bytes.load(Ordering::Acquire) >= LIMIT
    }

    /// Until there is room.
    pub(crate) async fn room(&self) {
        loop {
            let mut freed = std::pin::pin!(self.0.freed.notified());
            // What is freed from here on is not missed.
            freed.as_mut().enable();
            if !self.is_full() {
                return;
            }
            freed.await;
        }
    }
}

impl Waiting {
    pub(super) fn notification(&self) -> &Notification {
        &self.notification
    }

    pub(super) fn take(self) -> Notification {
        self.notification
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let before = self.backlog.0.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        if before >= LIMIT && before - self.bytes < LIMIT {
            self.backlog.0.freed.notify_waiters();
        }
    }
}

fn content(event: &Event) -> u64 {
    match event {
        Event::Session(SessionEvent::GotMessage { content, .. })
        | Event::MsrpChat(MsrpChatEvent::GotMessage { content, .. }) => content.len() as u64 + OVERHEAD,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};
    use std::time::SystemTime;

    use super::super::{Filter, NotificationCenter, Sender};
    use super::*;

    fn message(size: usize) -> MsrpChatEvent {
        MsrpChatEvent::GotMessage {
            content: vec![b'x'; size].into(),
            content_type: "text/plain".to_owned(),
            cpim_headers: Vec::new(),
            message_id: "m".to_owned(),
        }
    }

    #[test]
    fn what_waits_is_counted_until_it_is_taken_or_dropped() {
        let center = NotificationCenter::new();
        let backlog = center.backlog().clone();
        let mut stream = center.stream(Filter::any(), 2);
        let other = center.stream(Filter::any(), 100);
        let post = |size| {
            center.post(SystemTime::UNIX_EPOCH, Sender::Application, message(size));
            center.flush();
        };
        post(100_000);
        assert!(!backlog.is_full());
        post(500_000);
        assert!(backlog.is_full(), "two readers keep it each");
        let mut room = std::pin::pin!(backlog.room());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(room.as_mut().poll(&mut context), Poll::Pending);
        drop(other);
        assert_eq!(room.as_mut().poll(&mut context), Poll::Ready(()));
        post(600_000);
        assert!(backlog.is_full(), "the oldest of three is gone");
        assert!(stream.try_next().is_some() && !backlog.is_full());
        post(600_000);
        assert!(backlog.is_full());
        drop(stream);
        assert!(!backlog.is_full());
        post(2_000_000);
        assert!(!backlog.is_full(), "nobody keeps it");
    }
}
