//! Transfers (RFC 3515, RFC 5589): ours, and those that the peer asks us for.
//!
//! ```text
//!   ours        Idle ──REFER──▶ Sent ──2xx──▶ Sent ──NOTIFY of a final status──▶ Idle
//!   the peer's  Idle ──REFER──▶ Asked ──accept_transfer──▶ Following ──the new call's fate──▶ Idle
//!                                 └── reject_transfer, or nothing for too long ──▶ Idle
//! ```

use sip_core::endpoint::OutgoingRefer;
use sip_core::{StatusCode, Uri};

use super::{Context, Operation, SessionEvent, SessionMachine, SipAction, State, StreamSet};
use crate::error::Error;
use crate::session::TransferOptions;

/// The transfer that is under way.
#[derive(Debug, Default)]
pub(super) enum Transfer {
    #[default]
    Idle,
    /// The peer was asked.
    Sent { options: TransferOptions },
    /// The peer asks, and the application has not decided.
    Asked,
    /// A new session does what the peer asked for.
    Following,
}

impl SessionMachine {
    /// Whether the peer may be asked now.
    pub(crate) fn may_transfer(&self) -> Result<(), Error> {
        self.check(Operation::Transfer)?;
        match self.transfer {
            Transfer::Idle => Ok(()),
            _ => Err(Error::not_possible(Operation::Transfer, "another transfer is under way")),
        }
    }

    /// Asks the peer to call somebody else.
    pub(crate) fn transfer(
        &mut self,
        _context: Context<'_>,
        refer: OutgoingRefer,
        options: TransferOptions,
    ) -> Result<(), Error> {
        self.may_transfer()?;
        let destination = refer.refer_to.uri.without_headers().to_string();
        let refer = OutgoingRefer { subscribe: options.tell, ..refer };
        self.transfer = Transfer::Sent { options };
        self.notify(SessionEvent::TransferNewOutgoing { destination });
        self.sip(SipAction::Refer { refer: Box::new(refer) });
        Ok(())
    }

    /// The peer has taken our REFER.
    pub(super) fn transfer_accepted(&mut self, context: Context<'_>) {
        let Transfer::Sent { options } = &self.transfer else { return };
        let told = options.tell;
        self.notify(SessionEvent::TransferDidStart);
        if !told {
            self.transfer_is_silent(context);
        }
    }

    /// RFC 4488: nothing more is told. Who was asked ends the session when it has its new one.
    pub(super) fn transfer_is_silent(&mut self, context: Context<'_>) {
        if let Transfer::Sent { options } = &mut self.transfer {
            options.hang_up = false;
            self.transfer_came_to(context, StatusCode::ACCEPTED.code(), "taken, and nothing more is told");
        }
    }

    /// What the peer, or our new session, tells of a transfer.
    pub(super) fn transfer_came_to(&mut self, context: Context<'_>, code: u16, reason: &str) {
        if matches!(self.transfer, Transfer::Idle | Transfer::Asked) {
            return;
        }
        let reason = reason.to_owned();
        if (100..200).contains(&code) {
            self.notify(SessionEvent::TransferGotProgress { code, reason });
            return;
        }
        let ours = std::mem::take(&mut self.transfer);
        if !(200..300).contains(&code) {
            self.notify(SessionEvent::TransferDidFail { code, reason });
            return;
        }
        self.notify(SessionEvent::TransferDidEnd { code, reason });
        if matches!(&ours, Transfer::Sent { options } if options.hang_up) {
            // RFC 5589 §6.1: the transferor leaves.
            self.terminate(context);
        }
    }

    /// The peer's REFER, which was answered: the application is asked, or it is declined where
    /// that cannot be now.
    pub(super) fn referred(
        &mut self,
        context: Context<'_>,
        destination: String,
        referred_by: Option<String>,
    ) {
        if !matches!((self.state(), &self.transfer), (State::Established, Transfer::Idle)) {
            self.sip(SipAction::DeclineTransfer { status: StatusCode::DECLINE });
            return;
        }
        self.transfer = Transfer::Asked;
        self.timers.transfer = Some(context.now + self.config.timers.transfer_answer);
        self.notify(SessionEvent::TransferNewIncoming { destination, referred_by });
    }

    /// The application does what the peer asks for: the streams that the new session is to have.
    pub(crate) fn accept_transfer(&mut self, _context: Context<'_>) -> Result<StreamSet, Error> {
        self.check_asked(Operation::AcceptTransfer)?;
        self.timers.transfer = None;
        self.transfer = Transfer::Following;
        self.notify(SessionEvent::TransferDidStart);
        Ok(StreamSet { file: false, ..self.streams() })
    }

    /// The application does not.
    pub(crate) fn reject_transfer(&mut self, _context: Context<'_>) -> Result<(), Error> {
        self.check_asked(Operation::RejectTransfer)?;
        self.decline_transfer("rejected here");
        Ok(())
    }

    /// Nobody decided.
    pub(super) fn transfer_unanswered(&mut self) {
        if matches!(self.transfer, Transfer::Asked) {
            self.decline_transfer("nobody decided");
        }
    }

    /// The session ends: what is under way has no result any more.
    pub(super) fn give_up_transfer(&mut self) {
        match std::mem::take(&mut self.transfer) {
            Transfer::Idle => {}
            Transfer::Asked => {
                self.transfer = Transfer::Asked;
                self.decline_transfer("the session has ended");
            }
            // The new session goes on by itself.
            Transfer::Sent { .. } | Transfer::Following => {
                let reason = "the session ended before the result was known".to_owned();
                self.notify(SessionEvent::TransferDidFail { code: 0, reason });
            }
        }
    }

    fn decline_transfer(&mut self, reason: &str) {
        (self.transfer, self.timers.transfer) = (Transfer::Idle, None);
        let status = StatusCode::DECLINE;
        self.sip(SipAction::DeclineTransfer { status });
        self.notify(SessionEvent::TransferDidFail { code: status.code(), reason: reason.to_owned() });
    }

    fn check_asked(&self, operation: Operation) -> Result<(), Error> {
        self.check(operation)?;
        match self.transfer {
            Transfer::Asked => Ok(()),
            _ => Err(Error::not_possible(operation, "the peer asks for no transfer")),
        }
    }

    /// As whom the new session of a transfer calls, unless the application says otherwise.
    pub(crate) fn own_credentials(&self) -> Option<crate::Credentials> {
        let known = self.snapshot.credentials.as_deref().cloned();
        known.or_else(|| Some(crate::Credentials::new(Uri::clone(self.snapshot.local_uri.as_ref()?))))
    }
}
