//! The notifications as an async stream with bounded memory.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;

use super::backlog::Waiting;
use super::center::lock;
use super::{Backlog, Notification, Subscription};

/// An async stream of notifications.
///
/// At most `capacity` wait in it; of more the oldest are dropped and counted
/// ([`missed`](NotificationStream::missed)). It ends when the centre is gone. Chats read nothing more while a mebibyte of
/// messages waits in the streams of a centre, and their peers wait.
pub struct NotificationStream {
    queue: Arc<Mutex<Queue>>,
    _subscription: Subscription,
}

pub(super) struct Queue {
    waiting: VecDeque<Waiting>,
    backlog: Backlog,
    capacity: usize,
    missed: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl NotificationStream {
    pub(super) fn new(queue: Arc<Mutex<Queue>>, subscription: Subscription) -> Self {
        Self { queue, _subscription: subscription }
    }

    /// The next notification; `None` when there will be none any more.
    pub async fn next(&mut self) -> Option<Notification> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// One that already waits.
    pub fn try_next(&mut self) -> Option<Notification> {
        lock(&self.queue).waiting.pop_front().map(Waiting::take)
    }

    /// How many were dropped so far because nobody took them.
    pub fn missed(&self) -> u64 {
        lock(&self.queue).missed
    }
}

impl Stream for NotificationStream {
    type Item = Notification;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Notification>> {
        let mut queue = lock(&self.queue);
        match queue.waiting.pop_front() {
            Some(waiting) => Poll::Ready(Some(waiting.take())),
            None if queue.ended => Poll::Ready(None),
            None => {
                queue.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Queue {
    pub(super) fn new(capacity: usize, backlog: Backlog) -> Self {
        let (waiting, capacity) = (VecDeque::new(), capacity.max(1));
        Self { waiting, backlog, capacity, missed: 0, ended: false, waker: None }
    }

    pub(super) fn push(&mut self, notification: &Notification) {
        if self.waiting.len() == self.capacity {
            self.waiting.pop_front();
            self.missed += 1;
        }
        self.waiting.push_back(self.backlog.hold(notification.clone()));
        self.wake();
    }

    pub(super) fn end(&mut self) {
        self.ended = true;
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}
