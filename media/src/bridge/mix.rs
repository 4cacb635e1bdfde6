//! Who hears whom, and the sums.
//!
//! In a conference everybody hears everybody else. Ports that hear the same set but for
//! themselves are found when the graph changes; for these the sum is made once and each
//! takes itself out of it, so that N parties cost N and not N².

use super::Signal;
use super::slot::Slot;

/// One is 1 << 12.
const UNITY: i32 = 1 << 12;

#[derive(Debug, Clone, Copy)]
struct Link {
    from: usize,
    to: usize,
    gain: i32,
}

#[derive(Debug, Default)]
struct Destination {
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
    links: Vec<Link>,
    destinations: Vec<Destination>,
    groups: Vec<Group>,
    sum: Vec<i32>,
    frame: Vec<i16>,
}

impl Mixer {
    pub(super) fn new(frame: usize) -> Self {
        Self {
            links: Vec::new(),
            destinations: Vec::new(),
            groups: Vec::new(),
            sum: vec![0; frame],
            frame: vec![0; frame],
        }
    }

    pub(super) fn connect(&mut self, from: usize, to: usize, gain_db: f32) {
        self.disconnect(from, to);
        if from == to {
            return;
        }
        let gain = (10f32.powf(gain_db.clamp(-96.0, 18.0) / 20.0) * UNITY as f32).round() as i32;
        self.links.push(Link { from, to, gain });
    }

    pub(super) fn disconnect(&mut self, from: usize, to: usize) {
        self.links.retain(|link| (link.from, link.to) != (from, to));
    }

    /// A port goes: those after it move up by one.
    pub(super) fn forget(&mut self, index: usize) {
        self.links.retain(|link| link.from != index && link.to != index);
        for link in &mut self.links {
            link.from -= usize::from(link.from > index);
            link.to -= usize::from(link.to > index);
        }
    }

    /// Works out the destinations after a change of the graph.
    pub(super) fn plan(&mut self, ports: usize) {
        let mut destinations: Vec<Destination> = (0..ports).map(|_| Destination::default()).collect();
        for link in &self.links {
            destinations[link.to].sources.push((link.from, link.gain));
        }
        for destination in &mut destinations {
            destination.sources.sort_unstable();
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
        self.destinations = destinations;
    }

    /// The sums that several destinations share.
    pub(super) fn sum_groups(&mut self, slots: &[Slot]) {
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
            if gain == UNITY {
                // One source alone passes bit for bit.
                self.frame.copy_from_slice(first);
            } else {
                for (sum, sample) in self.sum.iter_mut().zip(first) {
                    *sum = (i32::from(*sample) * gain) >> 12;
                }
                limit(&self.sum, &mut self.frame);
            }
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
