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

    /// Adds one to a queue, and wakes who waits for it.
    pub(super) fn push(queue: &Mutex<Self>, notification: &Notification) {
        Self::change(queue, |queue| {
            if queue.waiting.len() == queue.capacity {
                queue.waiting.pop_front();
                queue.missed += 1;
            }
            queue.waiting.push_back(queue.backlog.hold(notification.clone()));
        });
    }

    /// Nothing more will come.
    pub(super) fn end(queue: &Mutex<Self>) {
        Self::change(queue, |queue| queue.ended = true);
    }

    fn change(queue: &Mutex<Self>, change: impl FnOnce(&mut Self)) {
        let mut locked = lock(queue);
        change(&mut locked);
        let waker = locked.waker.take();
        // Who is woken with the lock still held runs into it.
        drop(locked);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}
