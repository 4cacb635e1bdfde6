//! How handles reach the task that owns the engine.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::sync::{mpsc, oneshot};

use super::clock;
use super::media::{MeterBoard, PcmDesk};
use crate::engine::{Engine, Now};
use crate::error::Error;
use crate::session::Directory;

/// A command for the engine: run where the engine lives, between two inputs.
pub(crate) type Job = Box<dyn FnOnce(&mut Engine, Now) -> Answer + Send>;

/// Gives the reply to who asked: called when what the command changed can be read.
pub(crate) type Answer = Box<dyn FnOnce() + Send>;

/// Hands commands to the task that owns the engine.
#[derive(Clone)]
pub(crate) struct Commander {
    jobs: mpsc::UnboundedSender<Job>,
    directory: Directory,
    board: MeterBoard,
    pcm: PcmDesk,
}

impl Commander {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Job>) {
        let (jobs, receiver) = mpsc::unbounded_channel();
        let (directory, board, pcm) = (Directory::default(), MeterBoard::default(), PcmDesk::default());
        (Self { jobs, directory, board, pcm }, receiver)
    }

    /// Hands `command` over at once; the reply tells what it returned.
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        command: impl FnOnce(&mut Engine, Now) -> Result<T, Error> + Send + 'static,
    ) -> Reply<T> {
        let (answer, reply) = oneshot::channel();
        // Where nobody takes jobs any more the reply is `Stopped`; where nobody waits for the
        // reply it goes nowhere.
        let _ = self.jobs.send(Box::new(move |engine, now| {
            let outcome = command(engine, now);
            Box::new(move || drop(answer.send(outcome)))
        }));
        Reply { reply }
    }

    /// The sessions that somebody holds.
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What the sessions' audio measures.
    pub(crate) fn board(&self) -> &MeterBoard {
        &self.board
    }

    /// Where applications leave their own audio for a session.
    pub(crate) fn pcm(&self) -> &PcmDesk {
        &self.pcm
    }

    pub(crate) fn wall_clock(&self) -> SystemTime {
        clock::now().wall
    }
}

/// The reply to a command that is on its way already. When it is there, attributes read what the
/// command changed. Await it, [`wait`](Reply::wait) for it
/// outside of async code, or drop it.
pub struct Reply<T> {
    reply: oneshot::Receiver<Result<T, Error>>,
}

impl<T> Reply<T> {
    /// Blocks until it is there. Not for async code: await it there.
    pub fn wait(self) -> Result<T, Error> {
        self.reply.blocking_recv().unwrap_or(Err(Error::Stopped))
    }
}

impl<T> Future for Reply<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.reply).poll(context).map(|reply| reply.unwrap_or(Err(Error::Stopped)))
    }
}

impl<T> fmt::Debug for Reply<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reply")
    }
}
