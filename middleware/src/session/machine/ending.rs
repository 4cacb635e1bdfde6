//! The ways out, all of which lead to one DidEnd.

use sip_core::StatusCode;

use super::{
    Context, Exchange, Originator, Phase, SessionEvent, SessionMachine, SipAction, State, StreamSet,
};

impl SessionMachine {
    /// Ends it from here. In NULL, TERMINATING and TERMINATED nothing happens.
    pub(crate) fn terminate(&mut self, context: Context<'_>) {
        match self.phase {
            Phase::Null | Phase::Terminating { .. } | Phase::Ending { .. } | Phase::Ended => {}
            Phase::Calling(ref calling) => {
                let sent = calling.sent;
                self.begin_end(context, false);
                match sent {
                    true => self.sip(SipAction::Cancel),
                    false => self.ended(context, Originator::Local),
                }
            }
            Phase::Incoming | Phase::Accepting { answered: false } => {
                self.decline(context, StatusCode::BUSY_HERE, Vec::new());
            }
            Phase::Accepting { answered: true } => self.begin_end(context, true),
            Phase::Established | Phase::Proposing | Phase::Proposed => {
                let proposed = matches!(self.phase, Phase::Proposed);
                self.begin_end(context, false);
                if proposed {
                    self.sip(SipAction::RejectReinvite { status: StatusCode::REQUEST_TERMINATED });
                }
                self.sip(SipAction::Bye);
            }
        }
    }

    /// Answers an INVITE that was not accepted, and is done.
    pub(super) fn decline(
        &mut self,
        context: Context<'_>,
        status: StatusCode,
        headers: Vec<(String, String)>,
    ) {
        self.begin_end(context, false);
        self.sip(SipAction::Reject { status, reason: None, headers });
        self.ended(context, Originator::Local);
    }

    fn begin_end(&mut self, context: Context<'_>, bye_on_ack: bool) {
        self.stop_waiting();
        self.enter(Phase::Terminating { bye_on_ack });
        self.notify(SessionEvent::WillEnd);
        // The chat stays until the peer knows: its end would look like a loss there.
        self.close(context, StreamSet::AUDIO);
    }

    /// It failed: TERMINATED, DidFail, DidEnd.
    pub(super) fn fail(&mut self, context: Context<'_>, originator: Originator, code: u16, reason: String) {
        if matches!(self.state(), State::Terminated) {
            return;
        }
        self.stop_waiting();
        self.change(|snapshot| snapshot.stop_time = Some(context.wall));
        self.enter(Phase::Ending { originator });
        self.notify(SessionEvent::DidFail { originator, code, reason });
        self.wind_down(context);
    }

    /// It is over without a failure.
    pub(super) fn ended(&mut self, context: Context<'_>, originator: Originator) {
        if matches!(self.state(), State::Terminated) {
            return;
        }
        self.stop_waiting();
        self.change(|snapshot| snapshot.stop_time = Some(context.wall));
        self.enter(Phase::Ending { originator });
        self.wind_down(context);
    }

    /// The dialog is gone.
    pub(super) fn dialog_ended(&mut self, context: Context<'_>, by_remote: bool, reason: String) {
        match self.state() {
            State::Terminating => self.ended(context, Originator::Local),
            State::Null | State::Terminated => {}
            _ if by_remote => self.ended(context, Originator::Remote),
            _ => self.fail(context, Originator::Remote, 0, reason),
        }
    }

    /// A local failure of the media while the session is set up.
    pub(super) fn media_failed(&mut self, context: Context<'_>, reason: String) {
        let mut code = 0;
        match self.phase {
            Phase::Calling(ref calling) if calling.sent => self.sip(SipAction::Cancel),
            Phase::Incoming | Phase::Accepting { answered: false } => {
                code = 500;
                let status = StatusCode::SERVER_INTERNAL_ERROR;
                self.sip(SipAction::Reject { status, reason: None, headers: Vec::new() });
            }
            Phase::Accepting { answered: true } => self.sip(SipAction::Bye),
            _ => {}
        }
        self.fail(context, Originator::Local, code, reason);
    }

    /// Says goodbye as the state of the dialog asks.
    pub(super) fn sip_hang_up(&mut self) {
        match self.phase {
            Phase::Proposed => {
                self.sip(SipAction::RejectReinvite { status: StatusCode::SERVER_INTERNAL_ERROR });
                self.sip(SipAction::Bye);
            }
            Phase::Established | Phase::Proposing => self.sip(SipAction::Bye),
            _ => {}
        }
    }

    fn stop_waiting(&mut self) {
        self.timers.stream_start = None;
        self.timers.no_answer = None;
        self.timers.no_audio = None;
        self.timers.retry = None;
        self.timers.reconnect = None;
        self.timers.auto_answer = None;
        self.give_up_transfer();
        (self.exchange, self.waiting) = (Exchange::Idle, None);
        self.changes.clear();
    }

    /// Closes what is still open; DidEnd follows when it is closed.
    fn wind_down(&mut self, context: Context<'_>) {
        self.close(context, StreamSet::ALL);
        self.timers.wind_down = Some(context.now + self.config.timers.wind_down);
        self.finish_if_wound_down();
    }

    pub(super) fn finish_if_wound_down(&mut self) {
        if let Phase::Ending { originator } = self.phase
            && self.stopping.is_empty()
        {
            self.timers.wind_down = None;
            self.forget(StreamSet::ALL);
            self.change(|snapshot| {
                snapshot.route = None;
                snapshot.credentials = None;
                snapshot.on_hold_by_local = false;
                snapshot.on_hold_by_remote = false;
                snapshot.proposed_streams = StreamSet::NONE;
                snapshot.proposed_files.clear();
            });
            self.phase = Phase::Ended;
            self.notify(SessionEvent::DidEnd { originator });
        }
    }
}
