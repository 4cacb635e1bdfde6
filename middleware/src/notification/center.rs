//! The centre: components post to it, observers hear from it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::SystemTime;

use super::backlog::Waiting;
use super::stream::Queue;
use super::{Backlog, Event, Filter, Notification, NotificationStream, Sender};

/// Takes notifications from components and hands them to observers.
///
/// One thread of the centre's own calls the observers, in posting order and with no lock held:
/// a handler may call any API. What it posts is delivered after what is being handled. A
/// handler that panics is reported in the log and stays subscribed; the others still run.
///
/// Cheap to clone; every clone is the same centre.
#[derive(Clone)]
pub struct NotificationCenter {
    owner: Arc<Owner>,
}

/// Keeps an observer subscribed; dropping it ends that.
#[must_use = "dropping the subscription ends it"]
pub struct Subscription {
    observer: Arc<Observer>,
    shared: Weak<Shared>,
}

/// Dropped with the last handle: closes the queue, which ends the thread.
struct Owner {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// There is something to deliver.
    posted: Condvar,
    /// There is nothing any more.
    delivered: Condvar,
    backlog: Backlog,
}

struct State {
    observers: Arc<Vec<Arc<Observer>>>,
    queue: VecDeque<Waiting>,
    serial: u64,
    delivering: bool,
    /// The thread waits, and nobody has woken it.
    idle: bool,
    /// How many wait until everything is delivered. A system call to wake nobody is one too many.
    flushing: usize,
    running: bool,
    closed: bool,
}

struct Observer {
    filter: Filter,
    active: AtomicBool,
    target: Target,
}

enum Target {
    Callback(Box<dyn Fn(&Notification) + Send + Sync>),
    Stream(Arc<Mutex<Queue>>),
}

impl NotificationCenter {
    /// A centre with no observers.
    pub fn new() -> Self {
        let state = State {
            observers: Arc::default(),
            queue: VecDeque::new(),
            serial: 0,
            delivering: false,
            idle: false,
            flushing: 0,
            running: false,
            closed: false,
        };
        Self {
            owner: Arc::new(Owner {
                shared: Arc::new(Shared {
                    state: Mutex::new(state),
                    posted: Condvar::new(),
                    delivered: Condvar::new(),
                    backlog: Backlog::default(),
                }),
            }),
        }
    }

    /// Calls `handler` with each notification that `filter` lets through, until the returned
    /// subscription is dropped.
    pub fn observe(
        &self,
        filter: Filter,
        handler: impl Fn(&Notification) + Send + Sync + 'static,
    ) -> Subscription {
        self.subscribe(filter, Target::Callback(Box::new(handler)))
    }

    /// The same as an async stream in which at most `capacity` notifications wait.
    pub fn stream(&self, filter: Filter, capacity: usize) -> NotificationStream {
        let queue = Arc::new(Mutex::new(Queue::new(capacity, self.backlog().clone())));
        let subscription = self.subscribe(filter, Target::Stream(queue.clone()));
        NotificationStream::new(queue, subscription)
    }

    /// Posts a notification; returns its serial number.
    pub fn post(&self, timestamp: SystemTime, sender: impl Into<Sender>, event: impl Into<Event>) -> u64 {
        let shared = &self.owner.shared;
        let mut state = lock(&shared.state);
        state.serial += 1;
        let serial = state.serial;
        if !state.observers.is_empty() {
            let notification = Notification::new(serial, timestamp, sender.into(), event.into());
            state.queue.push_back(self.backlog().hold(notification));
            let idle = std::mem::take(&mut state.idle);
            drop(state);
            if idle {
                shared.posted.notify_one();
            }
        }
        serial
    }

    /// How many notifications wait for their observers to be called.
    pub fn pending(&self) -> usize {
        lock(&self.owner.shared.state).queue.len()
    }

    /// How much content waits for its observers.
    pub(crate) fn backlog(&self) -> &Backlog {
        &self.owner.shared.backlog
    }

    /// Blocks until everything posted so far was delivered. Not for handlers: they would wait
    /// for themselves.
    pub fn flush(&self) {
        let mut state = lock(&self.owner.shared.state);
        while !state.queue.is_empty() || state.delivering {
            state.flushing += 1;
            state = self.owner.shared.delivered.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.flushing -= 1;
        }
    }

    fn subscribe(&self, filter: Filter, target: Target) -> Subscription {
        let shared = &self.owner.shared;
        let observer = Arc::new(Observer { filter, active: AtomicBool::new(true), target });
        let mut state = lock(&shared.state);
        Arc::make_mut(&mut state.observers).push(observer.clone());
        if !state.running {
            state.running = true;
            let shared = shared.clone();
            thread::Builder::new()
                .name("notifications".to_owned())
                .spawn(move || deliver(&shared))
                .expect("the system can start a thread");
        }
        Subscription { observer, shared: Arc::downgrade(shared) }
    }
}

impl Default for NotificationCenter {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.shared.posted.notify_one();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.observer.active.store(false, Ordering::Release);
        if let Some(shared) = self.shared.upgrade() {
            let mut state = lock(&shared.state);
            Arc::make_mut(&mut state.observers).retain(|other| !Arc::ptr_eq(other, &self.observer));
        }
    }
}

/// The centre's thread: takes one notification after the other to its observers.
fn deliver(shared: &Shared) {
    let mut state = lock(&shared.state);
    loop {
        while let Some(waiting) = state.queue.pop_front() {
            let observers = state.observers.clone();
            state.delivering = true;
            drop(state);
            for observer in observers.iter() {
                observer.hear(waiting.notification());
            }
            drop((observers, waiting));
            state = lock(&shared.state);
            state.delivering = false;
        }
        if state.flushing > 0 {
            shared.delivered.notify_all();
        }
        if state.closed {
            break;
        }
        state.idle = true;
        state = shared.posted.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.idle = false;
    }
    for observer in state.observers.iter() {
        if let Target::Stream(queue) = &observer.target {
            Queue::end(queue);
        }
    }
}

impl Observer {
    fn hear(&self, notification: &Notification) {
        if !self.active.load(Ordering::Acquire) || !self.filter.matches(notification) {
            return;
        }
        match &self.target {
            Target::Stream(queue) => Queue::push(queue, notification),
            Target::Callback(handler) => {
                if catch_unwind(AssertUnwindSafe(|| handler(notification))).is_err() {
                    tracing::error!(name = notification.name(), "a notification handler panicked");
                }
            }
        }
    }
}

/// Locks even after a panic elsewhere: what is behind these locks is whole between statements.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notification::SessionEvent;

    fn center() -> (NotificationCenter, SystemTime) {
        (NotificationCenter::new(), SystemTime::UNIX_EPOCH)
    }

    fn recorder() -> (Arc<Mutex<Vec<&'static str>>>, impl Fn(&Notification) + Send + Sync + 'static) {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let writer = heard.clone();
        (heard, move |notification: &Notification| lock(&writer).push(notification.name()))
    }

    #[test]
    fn an_observer_that_matches_twice_is_called_once() {
        let (center, at) = center();
        let (heard, handler) = recorder();
        let filter = Filter::any().or(Filter::any().name("SCSessionDidStart"));
        let _subscription = center.observe(filter, handler);
        center.post(at, Sender::Application, SessionEvent::DidStart);
        center.flush();
        assert_eq!(*lock(&heard), ["SCSessionDidStart"]);
    }

    #[test]
    fn a_filter_by_name_lets_only_that_name_through() {
        let (center, at) = center();
        let (heard, handler) = recorder();
        let _subscription = center.observe(Filter::any().name("SCSessionWillStart"), handler);
        center.post(at, Sender::Application, SessionEvent::DidStart);
        center.post(at, Sender::Application, SessionEvent::WillStart);
        center.flush();
        assert_eq!(*lock(&heard), ["SCSessionWillStart"]);
    }

    #[test]
    fn a_filter_by_sender_lets_only_that_sender_through() {
        let (center, at) = center();
        let (heard, handler) = recorder();
        let _subscription = center.observe(Filter::any().sender(Sender::Settings), handler);
        center.post(at, Sender::Application, SessionEvent::DidStart);
        center.post(at, Sender::Account("alice@example.com".to_owned()), SessionEvent::DidStart);
        center.post(at, Sender::Settings, SessionEvent::WillStart);
        center.flush();
        assert_eq!(*lock(&heard), ["SCSessionWillStart"]);
    }

    #[test]
    fn a_filter_by_both_wants_both() {
        let (center, at) = center();
        let (heard, handler) = recorder();
        let both = Filter::any().sender(Sender::Settings).name("SCSessionWillStart");
        let either = both.or(Filter::any().name("SCSessionWillEnd"));
        let _subscription = center.observe(either, handler);
        center.post(at, Sender::Application, SessionEvent::WillStart);
        center.post(at, Sender::Settings, SessionEvent::DidStart);
        center.post(at, Sender::Settings, SessionEvent::WillStart);
        center.post(at, Sender::Application, SessionEvent::WillEnd);
        center.flush();
        assert_eq!(*lock(&heard), ["SCSessionWillStart", "SCSessionWillEnd"]);
    }

    #[test]
    fn posts_of_many_threads_come_in_the_order_of_their_numbers() {
        let (center, at) = center();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let writer = heard.clone();
        let _subscription = center.observe(Filter::any(), move |notification| {
            lock(&writer).push((notification.serial(), notification.sender().to_string()));
        });
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let center = center.clone();
                thread::spawn(move || {
                    let sender = Sender::Account(number.to_string());
                    let posts = (0..50).map(|_| center.post(at, sender.clone(), SessionEvent::WillStart));
                    posts.collect::<Vec<_>>()
                })
            })
            .collect();
        let posted: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
        center.flush();
        let heard = lock(&heard);
        assert!(heard.iter().map(|(serial, _)| *serial).eq(1..=200), "each once, in order");
        for (number, serials) in posted.iter().enumerate() {
            let own = heard.iter().filter(|(_, sender)| *sender == format!("account {number}"));
            assert!(own.map(|(serial, _)| serial).eq(serials), "and those of one sender as it posted them");
        }
    }

    #[test]
    fn a_handler_may_call_any_api() {
        let (center, at) = center();
        let (heard, handler) = recorder();
        let handler = Arc::new(handler);
        let inner = center.clone();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keeper = kept.clone();
        let _first = center.observe(Filter::any().name("SCSessionWillStart"), move |_| {
            // Subscribes, looks, posts and unsubscribes from within.
            let handler = handler.clone();
            lock(&keeper).push(inner.observe(Filter::any(), move |notification| handler(notification)));
            drop(inner.observe(Filter::any(), |_| panic!("it was dropped before anything was posted")));
            assert_eq!(inner.pending(), 0);
            inner.post(at, Sender::Application, SessionEvent::DidStart);
        });
        center.post(at, Sender::Application, SessionEvent::WillStart);
        center.flush();
        assert_eq!(*lock(&heard), ["SCSessionDidStart"], "who came later hears what is posted later");
    }

    #[test]
    fn a_post_in_a_handler_comes_after_the_one_being_handled() {
        let (center, at) = center();
        let (heard, handler) = recorder();
        let inner = center.clone();
        let _first = center.observe(Filter::any().name("SCSessionWillStart"), move |_| {
            inner.post(at, Sender::Application, SessionEvent::DidStart);
        });
        let _second = center.observe(Filter::any(), handler);
        center.post(at, Sender::Application, SessionEvent::WillStart);
        center.flush();
        assert_eq!(*lock(&heard), ["SCSessionWillStart", "SCSessionDidStart"]);
    }

    #[test]
    fn a_panic_in_one_handler_leaves_the_others() {
        let (center, at) = center();
        let (heard, handler) = recorder();
        let _first = center.observe(Filter::any(), |_| panic!("on purpose: the centre contains it"));
        let _second = center.observe(Filter::any(), handler);
        center.post(at, Sender::Application, SessionEvent::WillStart);
        center.post(at, Sender::Application, SessionEvent::DidStart);
        center.flush();
        assert_eq!(*lock(&heard), ["SCSessionWillStart", "SCSessionDidStart"]);
    }

    #[test]
    fn dropping_the_subscription_ends_it() {
        let (center, at) = center();
        let (heard, handler) = recorder();
        drop(center.observe(Filter::any(), handler));
        center.post(at, Sender::Application, SessionEvent::WillStart);
        center.flush();
        assert!(lock(&heard).is_empty());
    }

    #[test]
    fn a_slow_reader_of_a_stream_sees_what_it_missed() {
        let (center, at) = center();
        let mut stream = center.stream(Filter::any(), 2);
        for _ in 0..5 {
            center.post(at, Sender::Application, SessionEvent::WillStart);
        }
        center.flush();
        assert_eq!(stream.missed(), 3);
        assert_eq!(stream.try_next().map(|n| n.serial()), Some(4));
        assert_eq!(stream.try_next().map(|n| n.serial()), Some(5));
        assert!(stream.try_next().is_none());
    }
}
