//! Who hears whom, and the sums.
//!
//! In a conference everybody hears everybody else. Ports that hear the same set but for
//! themselves are found when the graph changes; for these the sum is made once and each
//! takes itself out of it, so that N parties cost N and not N².

use super::Signal;
use super::slot::Slot;

/// One is 1 << 12.
const UNITY: i32 = 1 << 12;

#[derive(Debug, Default)]
struct Destination {
    /// Port and gain, in the order of ports.
    sources: Vec<(usize, i32)>,
    group: Option<usize>,
}

#[derive(Debug)]
struct Group {
    members: Vec<usize>,
    sum: Vec<i32>,
    audible: usize,
}

pub(super) struct Mixer {
    destinations: Vec<Destination>,
    groups: Vec<Group>,
    /// The groups are those of an older graph.
    stale: bool,
    sum: Vec<i32>,
    frame: Vec<i16>,
}

impl Mixer {
    pub(super) fn new(frame: usize) -> Self {
        Self {
            destinations: Vec::new(),
            groups: Vec::new(),
            stale: false,
            sum: vec![0; frame],
            frame: vec![0; frame],
        }
    }

    /// A port comes, as the last one.
    pub(super) fn join(&mut self) {
        self.destinations.push(Destination::default());
        self.stale = true;
    }

    pub(super) fn connect(&mut self, from: usize, to: usize, gain_db: f32) {
        if from == to {
            return;
        }
        let gain = (10f32.powf(gain_db.clamp(-96.0, 18.0) / 20.0) * UNITY as f32).round() as i32;
        let sources = &mut self.destinations[to].sources;
        match sources.binary_search_by_key(&from, |(from, _)| *from) {
            Ok(index) => sources[index].1 = gain,
            Err(index) => sources.insert(index, (from, gain)),
        }
        self.stale = true;
    }

    pub(super) fn disconnect(&mut self, from: usize, to: usize) {
        self.destinations[to].sources.retain(|(other, _)| *other != from);
        self.stale = true;
    }

    /// A port goes: those after it move up by one.
    pub(super) fn leave(&mut self, index: usize) {
        self.destinations.remove(index);
        for destination in &mut self.destinations {
            destination.sources.retain(|(from, _)| *from != index);
            for (from, _) in &mut destination.sources {
                *from -= usize::from(*from > index);
            }
        }
        self.stale = true;
    }

    /// Works out who shares a sum, after a change of the graph.
    fn plan(&mut self) {
        let destinations = &mut self.destinations;
        for destination in destinations.iter_mut() {
            destination.group = None;
        }
        // The set a port hears together with itself is the name of its conference.
        let mut named: Vec<(Vec<usize>, usize)> = Vec::new();
        for (index, destination) in destinations.iter().enumerate() {
            let plain = destination.sources.iter().all(|(_, gain)| *gain == UNITY);
            if plain && destination.sources.len() >= 3 {
                let mut set: Vec<usize> = destination.sources.iter().map(|(from, _)| *from).collect();
                set.push(index);
                set.sort_unstable();
                named.push((set, index));
            }
        }
        named.sort_unstable();
        self.groups.clear();
        for run in named.chunk_by(|a, b| a.0 == b.0).filter(|run| run.len() >= 3) {
            let group = self.groups.len();
            for (_, index) in run {
                destinations[*index].group = Some(group);
            }
            let members = run[0].0.clone();
            self.groups.push(Group { members, sum: vec![0; self.frame.len()], audible: 0 });
        }
        self.stale = false;
    }

    /// The sums that several destinations share.
    pub(super) fn sum_groups(&mut self, slots: &[Slot]) {
        if self.stale {
            self.plan();
        }
        for group in &mut self.groups {
            group.sum.fill(0);
            group.audible = 0;
            for member in &group.members {
                if let Some(given) = slots[*member].given() {
                    group.audible += 1;
                    for (sum, sample) in group.sum.iter_mut().zip(given) {
                        *sum += i32::from(*sample);
                    }
                }
            }
        }
    }

    /// The only port that gives a destination anything, where it passes bit for bit.
    pub(super) fn alone(&self, to: usize, slots: &[Slot]) -> Option<usize> {
        let destination = &self.destinations[to];
        if destination.group.is_some() {
            return None;
        }
        let mut audible = destination.sources.iter().filter(|(from, _)| slots[*from].given().is_some());
        match (audible.next(), audible.next()) {
            (Some((from, UNITY)), None) => Some(*from),
            _ => None,
        }
    }

    /// Makes the frame for one destination.
    pub(super) fn mix(&mut self, to: usize, slots: &[Slot]) -> Signal {
        let destination = &self.destinations[to];
        if let Some(group) = destination.group {
            let group = &self.groups[group];
            let own = slots[to].given();
            if group.audible == usize::from(own.is_some()) {
                return self.silence();
            }
            match own {
                Some(own) => {
                    for ((out, sum), own) in self.sum.iter_mut().zip(&group.sum).zip(own) {
                        *out = sum - i32::from(*own);
                    }
                    limit(&self.sum, &mut self.frame);
                }
                None => limit(&group.sum, &mut self.frame),
            }
            return Signal::Audible;
        }
        let mut audible = destination
            .sources
            .iter()
            .filter_map(|(from, gain)| slots[*from].given().map(|given| (given, *gain)));
        let Some((first, gain)) = audible.next() else { return self.silence() };
        let Some(second) = audible.next() else {
            for (sum, sample) in self.sum.iter_mut().zip(first) {
                *sum = (i32::from(*sample) * gain) >> 12;
            }
            limit(&self.sum, &mut self.frame);
            return Signal::Audible;
        };
        for (sum, sample) in self.sum.iter_mut().zip(first) {
            *sum = (i32::from(*sample) * gain) >> 12;
        }
        for (given, gain) in std::iter::once(second).chain(audible) {
            if gain == UNITY {
                for (sum, sample) in self.sum.iter_mut().zip(given) {
                    *sum += i32::from(*sample);
                }
            } else {
                for (sum, sample) in self.sum.iter_mut().zip(given) {
                    *sum += (i32::from(*sample) * gain) >> 12;
                }
            }
        }
        limit(&self.sum, &mut self.frame);
        Signal::Audible
    }

    pub(super) fn frame(&self) -> &[i16] {
        &self.frame
    }

    fn silence(&mut self) -> Signal {
        self.frame.fill(0);
        Signal::Silent
    }
}

/// Up to three quarters of the scale nothing changes; above, the curve bends towards full scale.
fn limit(sums: &[i32], frame: &mut [i16]) {
    const KNEE: i32 = 24_576;
    const ROOM: f32 = 32_767.0 - KNEE as f32;
    let loudest = sums.iter().fold(0, |most, sum| sum.abs().max(most));
    if loudest <= KNEE {
        for (out, sum) in frame.iter_mut().zip(sums) {
            *out = *sum as i16;
        }
        return;
    }
    // Without branches, so that the compiler can use vectors.
    for (out, sum) in frame.iter_mut().zip(sums) {
        let magnitude = sum.abs();
        let over = (magnitude - KNEE).max(0) as f32;
        let bent = magnitude.min(KNEE) + (over * ROOM / (over + ROOM)) as i32;
        *out = if *sum < 0 { -bent } else { bent } as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limited(sample: i32) -> i16 {
        let mut frame = [0];
        limit(&[sample], &mut frame);
        frame[0]
    }

    #[test]
    fn limiter_rises_and_never_wraps() {
        let mut before = i16::MIN;
        for sample in (-2_000_000..2_000_000).step_by(97) {
            let now = limited(sample);
            assert!(now >= before);
            before = now;
        }
        assert_eq!(limited(24_000), 24_000);
        assert_eq!(limited(i32::MIN / 4), -limited(i32::MAX / 4));
    }
}
