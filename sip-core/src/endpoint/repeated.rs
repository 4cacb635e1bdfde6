//! Provisional responses that are not reliable, and yet should not be missed (RFC 8839 §7.1.1, RFC 8840 §4.3.2).

use super::{Body, Call, Endpoint, command::Known};
use crate::{StatusCode, UsageError, usage::Repeated};
use std::time::Instant;

impl Endpoint {
    /// Sends a provisional response as [`Endpoint::provisional`] does. Where the peer cannot acknowledge it,
    /// it is repeated `times` at most, after T1, 2 × T1 and so on, until a request of the peer's within the
    /// dialog shows that it came, a final response is sent, or [`Endpoint::provisional_arrived`] says so.
    /// That nothing comes has no consequence.
    ///
    /// # Errors
    /// If the call does not wait for an answer, or `status` is final.
    pub fn provisional_repeated(
        &mut self,
        now: Instant,
        call: Call,
        status: StatusCode,
        body: Option<Body>,
        times: u32,
    ) -> Result<(), UsageError> {
        self.provisional(now, call, status, body)?;
        let t1 = self.config.timers.t1;
        let usage = self.calls.get_mut(&call).known()?;
        let id = usage.offer.known()?;
        if usage.reliable.as_ref().is_none_or(|reliable| reliable.server != id)
            && let Some(server) = self.servers.get(&id)
        {
            usage.repeated = Some(Box::new(Repeated::new(now, id, server.last.clone(), times, t1)));
        }
        self.arm_call(call);
        Ok(())
    }

    /// The peer has the provisional response, as something beside SIP shows: it is not repeated any more.
    pub fn provisional_arrived(&mut self, call: Call) {
        if let Some(usage) = self.calls.get_mut(&call)
            && usage.repeated.take().is_some()
        {
            self.arm_call(call);
        }
    }

    pub(crate) fn repeated_timeout(&mut self, now: Instant, call: Call) {
        let Some(usage) = self.calls.get_mut(&call) else { return };
        let Some((id, data)) = usage.repeated.as_mut().and_then(|repeated| repeated.due(now)) else { return };
        if let Some(way) = self.servers.get(&id).map(|server| server.way) {
            self.send_back(now, way, data);
        }
    }
}
