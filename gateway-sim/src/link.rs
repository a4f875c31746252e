//! One direction between a phone and the gateway: loss, bursts, delay, reordering, duplication, all from a seed.

use std::time::Duration;

use gateway_core::base::rng::Rng;

/// How bad a link is. Shares are per thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkPlan {
    /// Lost one by one.
    pub loss_permille: u32,
    /// A packet begins a burst in which all are lost.
    pub burst_permille: u32,
    /// Packets of a burst.
    pub burst_length: u32,
    /// Shortest way.
    pub delay: Duration,
    /// Added at random, evenly.
    pub jitter: Duration,
    /// Held back by three packet times, so that others overtake.
    pub reorder_permille: u32,
    /// Delivered twice.
    pub duplicate_permille: u32,
}

impl LinkPlan {
    /// A quiet network: 10 to 40 ms, nothing lost.
    pub fn calm(rng: &mut Rng) -> Self {
        let delay = Duration::from_millis(10 + u64::from(rng.below(30)));
        Self { delay, ..Self::default() }
    }

    /// Wireless at the edge of its cell, or a full uplink.
    pub fn rough(rng: &mut Rng) -> Self {
        Self {
            loss_permille: rng.below(60),
            burst_permille: rng.below(5),
            burst_length: 2 + rng.below(6),
            delay: Duration::from_millis(u64::from(rng.below(80))),
            jitter: Duration::from_millis(u64::from(rng.below(30))),
            reorder_permille: rng.below(30),
            duplicate_permille: rng.below(30),
        }
    }
}

/// A link at work.
#[derive(Debug)]
pub struct Link {
    plan: LinkPlan,
    rng: Rng,
    lost_in_burst: u32,
}

/// What becomes of one packet: its delays, none if it is lost, two if it is doubled.
pub type Fate = Vec<Duration>;

impl Link {
    /// A link with dice of its own.
    pub fn new(plan: LinkPlan, rng: Rng) -> Self {
        Self { plan, rng, lost_in_burst: 0 }
    }

    /// Throws the dice for one packet.
    pub fn carry(&mut self) -> Fate {
        // The same number of dice for each packet, whatever comes out: one knob moves no other draw.
        let [lost, burst, late, twice] = [(); 4].map(|()| self.rng.below(1_000));
        let [first, second] = [(); 2].map(|()| self.delay());
        if self.lost_in_burst > 0 {
            self.lost_in_burst -= 1;
            return Fate::new();
        }
        if burst < self.plan.burst_permille {
            self.lost_in_burst = self.plan.burst_length;
            return Fate::new();
        }
        if lost < self.plan.loss_permille {
            return Fate::new();
        }
        let held = if late < self.plan.reorder_permille { REORDER_HOLD } else { Duration::ZERO };
        let mut fate = vec![first + held];
        if twice < self.plan.duplicate_permille {
            fate.push(second + REORDER_HOLD);
        }
        fate
    }

    fn delay(&mut self) -> Duration {
        let spread = u32::try_from(self.plan.jitter.as_micros()).unwrap_or(u32::MAX);
        let drawn = self.rng.below(spread.max(1));
        self.plan.delay + Duration::from_micros(u64::from(drawn))
    }
}

const REORDER_HOLD: Duration = Duration::from_millis(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calm_link_loses_nothing_and_keeps_the_order() {
        let mut rng = Rng::from_number(1);
        let mut link = Link::new(LinkPlan::calm(&mut rng), rng.fork("link"));
        let first = link.carry();
        assert!((0..1_000).all(|_| link.carry() == first) && first.len() == 1);
    }

    #[test]
    fn a_rough_link_loses_about_what_its_plan_says() {
        let plan = LinkPlan { loss_permille: 100, duplicate_permille: 50, ..LinkPlan::default() };
        let mut link = Link::new(plan, Rng::from_number(2));
        let fates: Vec<Fate> = (0..10_000).map(|_| link.carry()).collect();
        let lost = fates.iter().filter(|fate| fate.is_empty()).count();
        let twice = fates.iter().filter(|fate| fate.len() == 2).count();
        assert!((800..1_200).contains(&lost), "{lost}");
        assert!((350..550).contains(&twice), "{twice}");
    }
}
