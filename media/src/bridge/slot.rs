//! A port in its place: conversion to and from the bridge's rate, levels.

use super::{BridgeConfig, Port, PortEvent, PortId, PortMeters, Signal};
use crate::resample::Resampler;

pub(super) struct Slot {
    pub(super) id: PortId,
    pub(super) meters: PortMeters,
    measured: bool,
    port: Box<dyn Port>,
    config: BridgeConfig,
    rate: u32,
    inward: Option<Resampler>,
    outward: Option<Resampler>,
    /// At the bridge's rate.
    given: Vec<i16>,
    signal: Signal,
    /// At the port's rate.
    local: Vec<i16>,
    /// Silent ticks so far, to let the resampler's tail out before skipping it.
    quiet: u32,
}

impl Slot {
    /// A port with its meters, which are measured always, or while somebody has a clone.
    pub(super) fn new(
        id: PortId,
        port: Box<dyn Port>,
        meters: PortMeters,
        measured: bool,
        config: BridgeConfig,
    ) -> Self {
        let mut slot = Self {
            id,
            meters,
            measured,
            port,
            config,
            rate: 0,
            inward: None,
            outward: None,
            given: vec![0; config.frame()],
            signal: Signal::Silent,
            local: Vec::new(),
            quiet: 0,
        };
        slot.follow_rate();
        slot
    }

    /// Ports change their rate seldom: when a stream is renegotiated.
    fn follow_rate(&mut self) {
        let rate = self.port.sample_rate();
        if rate == self.rate {
            return;
        }
        self.rate = rate;
        let differs = rate != self.config.sample_rate;
        self.inward = differs.then(|| Resampler::new(rate, self.config.sample_rate));
        self.outward = differs.then(|| Resampler::new(self.config.sample_rate, rate));
        // One more than the frame for rates such as 11025, and what the filter takes to start.
        let room = if differs { (rate * self.config.ptime_ms / 1000) as usize + 1024 } else { 0 };
        self.local = vec![0; room];
    }

    pub(super) fn pull(&mut self) {
        self.port.prepare();
        self.follow_rate();
        if !self.port.gives() {
            return;
        }
        match &mut self.inward {
            None => self.signal = self.port.pull(&mut self.given),
            Some(resampler) => {
                let needed = resampler.needed(self.given.len()).min(self.local.len());
                let whole = needed + 1024 == self.local.len();
                let local = &mut self.local[..needed];
                let signal = self.port.pull(local);
                self.quiet = if signal == Signal::Silent { self.quiet.saturating_add(1) } else { 0 };
                if self.quiet > 2 && whole {
                    // Both rates move by whole frames: the filter's state is zero and may rest.
                    self.signal = Signal::Silent;
                } else {
                    resampler.process(local, &mut self.given);
                    self.signal = if self.quiet > 2 { Signal::Silent } else { Signal::Audible };
                }
            }
        }
        if self.measured || self.meters.given.is_watched() {
            let heard = if self.signal == Signal::Silent { &[] } else { &self.given[..] };
            self.meters.given.measure(heard);
        }
    }

    pub(super) fn push(&mut self, mixed: &[i16], signal: Signal) {
        if self.measured || self.meters.taken.is_watched() {
            let heard = if signal == Signal::Silent { &[] } else { mixed };
            self.meters.taken.measure(heard);
        }
        match &mut self.outward {
            None => self.port.push(mixed, signal),
            Some(resampler) => {
                let written = resampler.process(mixed, &mut self.local);
                self.port.push(&self.local[..written], signal);
            }
        }
    }

    pub(super) fn takes(&self) -> bool {
        self.port.takes()
    }

    /// What the port gave in this tick, if it is worth mixing.
    pub(super) fn given(&self) -> Option<&[i16]> {
        (self.signal == Signal::Audible).then_some(&self.given)
    }

    /// What the port gave, to be given back.
    pub(super) fn lend(&mut self) -> Vec<i16> {
        std::mem::take(&mut self.given)
    }

    pub(super) fn take_back(&mut self, given: Vec<i16>) {
        self.given = given;
    }

    pub(super) fn take_event(&mut self) -> Option<PortEvent> {
        self.port.take_event()
    }

    pub(super) fn into_port(self) -> Box<dyn Port> {
        self.port
    }
}
