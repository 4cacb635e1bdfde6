//! What the media thread has for a stream's task.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use rtp_srtp::session::RtpSender;
use tokio::sync::mpsc;

/// Datagrams that wait for the task at most; who sends more loses some.
const ASIDE: usize = 16;

/// What the task is told.
#[derive(Debug)]
pub(super) enum News {
    /// The peer sends, for the first time, after a change, or from another address.
    Heard(SocketAddr),
    /// It has sent nothing for too long.
    Lost,
    /// It pressed a key.
    Digit(char),
    /// After a collision another source of ours sends.
    Source(RtpSender),
    /// A compound of ours is due, in the clear.
    Report(Vec<u8>),
    /// A datagram that is not media: component, from where, when.
    Aside(u16, SocketAddr, Instant, Vec<u8>),
}

/// Both ends of what is left to the task.
pub(super) fn outlet() -> (Outlet, Inbox) {
    let (news, told) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Outlet { news, waiting: waiting.clone() }, Inbox { news: told, waiting })
}

/// The media thread's end.
pub(super) struct Outlet {
    // In boxes: the queue has room for 32 from the first on.
    news: mpsc::UnboundedSender<Box<News>>,
    /// How many datagrams the task has not taken yet.
    waiting: Arc<AtomicUsize>,
}

impl Outlet {
    pub(super) fn tell(&self, news: News) {
        // The task is gone when the stream is.
        let _ = self.news.send(Box::new(news));
    }

    pub(super) fn put_aside(&self, component: u16, from: SocketAddr, at: Instant, datagram: &[u8]) {
        if self.waiting.load(Ordering::Relaxed) < ASIDE {
            self.waiting.fetch_add(1, Ordering::Relaxed);
            self.tell(News::Aside(component, from, at, datagram.to_vec()));
        }
    }
}

/// The task's end.
pub(super) struct Inbox {
    news: mpsc::UnboundedReceiver<Box<News>>,
    waiting: Arc<AtomicUsize>,
}

impl Inbox {
    /// The next thing; never, once the media thread has let go of the stream.
    pub(super) async fn next(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => self.taken(*news),
            None => std::future::pending().await,
        }
    }

    /// What there is already.
    pub(super) fn try_next(&mut self) -> Option<News> {
        let news = self.news.try_recv().ok()?;
        Some(self.taken(*news))
    }

    fn taken(&self, news: News) -> News {
        if matches!(news, News::Aside(..)) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        news
    }
}
