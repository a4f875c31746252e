//! Seeded networks: one delay, or "lost", per packet, of the kinds that telephone traffic meets.
//!
//! For tests, simulation and benches only. Delays are above the fastest path. None is a recording.

use crate::base::rng::Rng;

/// A kind of network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// No jitter.
    Clean,
    /// A clean network between busy machines: 0 to 6 ms, one packet of fifty 12 to 20.
    Busy,
    /// Normal jitter of this deviation in ms; packets keep their order.
    Gauss(f64),
    /// The same with overtaking.
    GaussOvertaking(f64),
    /// Two-state loss (Gilbert-Elliott): mean share of loss in %, mean burst in packets.
    Bursty(f64, f64),
    /// Independent loss in %.
    Loss(f64),
    /// Now and then a spike up to this many ms whose queue drains at once; this many per minute.
    WiFi(f64, f64),
    /// Spikes and bursty loss.
    WiFiBursty,
    /// Delay on a coarse grid and rare hand-over gaps of 150 to 350 ms.
    Lte,
    /// The route changes by 80 ms for 15 s of every 30.
    Step80,
    /// Delay climbs to 200 ms and falls, in 20 s.
    Bloat,
    /// A heavy tail with overtaking.
    ParetoOvertaking,
    /// The sender's clock is this many ppm fast.
    Drift(f64),
}

/// Every kind, as the acceptance table names them.
pub const ALL: [(&str, Network); 16] = [
    ("clean", Network::Clean),
    ("busy", Network::Busy),
    ("gauss10", Network::Gauss(10.0)),
    ("gauss20ro", Network::GaussOvertaking(20.0)),
    ("wifi", Network::WiFi(160.0, 12.0)),
    ("wifi_bad", Network::WiFi(260.0, 40.0)),
    ("lte", Network::Lte),
    ("step80", Network::Step80),
    ("bloat", Network::Bloat),
    ("pareto_ro", Network::ParetoOvertaking),
    ("ge3", Network::Bursty(3.0, 1.5)),
    ("ber5", Network::Loss(5.0)),
    ("ge10", Network::Bursty(10.0, 2.5)),
    ("wifi_ge3", Network::WiFiBursty),
    ("drift+", Network::Drift(100.0)),
    ("drift-", Network::Drift(-100.0)),
];

/// Delay of each of `packets` packets sent `packet_ms` apart, in us above the fastest path; `None` is lost.
pub fn delays(network: Network, seed: u64, packets: usize, packet_ms: usize) -> Vec<Option<i64>> {
    let mut dice = Dice(Rng::from_number(seed).fork("trace"));
    let step = packet_ms as f64;
    let time = |n: usize| n as f64 * step;
    let mut delays: Vec<Option<f64>> = match network {
        Network::Clean => vec![Some(0.0); packets],
        Network::Busy => (0..packets)
            .map(|_| {
                let slow = dice.unit() < 0.02;
                Some(if slow { 12.0 + 8.0 * dice.unit() } else { 6.0 * dice.unit() })
            })
            .collect(),
        Network::Gauss(deviation) | Network::GaussOvertaking(deviation) => (0..packets)
            .map(|_| Some((3.0 * deviation + dice.normal() * deviation).max(0.0)))
            .collect(),
        Network::Bursty(share, burst) => dice.bursty(packets, share, burst),
        Network::Loss(share) => {
            (0..packets).map(|_| (dice.unit() * 100.0 >= share).then_some(0.0)).collect()
        }
        Network::WiFi(highest, per_minute) => dice.spikes(packets, step, highest, per_minute),
        Network::WiFiBursty => {
            let lost = dice.bursty(packets, 2.4, 1.5);
            let spikes = dice.spikes(packets, step, 160.0, 20.0);
            lost.iter().zip(spikes).map(|(lost, spike)| lost.and(spike)).collect()
        }
        Network::Lte => dice.lte(packets, step),
        Network::Step80 => (0..packets)
            .map(|n| Some(if time(n) % 30_000.0 >= 15_000.0 { 80.0 } else { 0.0 } + dice.unit()))
            .collect(),
        Network::Bloat => (0..packets)
            .map(|n| {
                let phase = time(n) % 20_000.0 / 10_000.0;
                Some(200.0 * if phase < 1.0 { phase } else { 2.0 - phase } + dice.unit())
            })
            .collect(),
        Network::ParetoOvertaking => (0..packets)
            .map(|_| Some((4.0 * (dice.unit().max(1e-6).powf(-1.0 / 2.2) - 1.0)).min(250.0)))
            .collect(),
        Network::Drift(ppm) => {
            let slow = if ppm > 0.0 { time(packets) * ppm / 1e6 } else { 0.0 };
            (0..packets).map(|n| Some(slow - time(n) * ppm / 1e6)).collect()
        }
    };
    if !matches!(network, Network::GaussOvertaking(_) | Network::ParetoOvertaking) {
        keep_order(&mut delays, step);
    }
    delays.iter().map(|delay| delay.map(|ms| (ms * 1_000.0) as i64)).collect()
}

/// A packet waits for the one before it.
fn keep_order(delays: &mut [Option<f64>], step: f64) {
    let mut least = 0.0_f64;
    for delay in delays.iter_mut() {
        least -= step;
        if let Some(delay) = delay {
            *delay = delay.max(least);
            least = *delay;
        }
    }
}

struct Dice(Rng);

impl Dice {
    fn unit(&mut self) -> f64 {
        f64::from(self.0.u32()) / f64::from(u32::MAX)
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    fn bursty(&mut self, packets: usize, share: f64, burst: f64) -> Vec<Option<f64>> {
        let leave = 1.0 / burst;
        let enter = leave * share / (100.0 - share);
        let mut bad = false;
        (0..packets)
            .map(|_| {
                bad = if bad { self.unit() >= leave } else { self.unit() < enter };
                (!bad).then_some(0.0)
            })
            .collect()
    }

    fn spikes(
        &mut self,
        packets: usize,
        step: f64,
        highest: f64,
        per_minute: f64,
    ) -> Vec<Option<f64>> {
        let chance = per_minute * step / 60_000.0;
        (0..packets)
            .map(|_| {
                let spike = self.unit() < chance;
                let height = 30.0 + (highest - 30.0) * self.unit();
                Some(if spike { height } else { self.unit() * 2.0 })
            })
            .collect()
    }

    fn lte(&mut self, packets: usize, step: f64) -> Vec<Option<f64>> {
        let chance = 2.0 * step / 60_000.0;
        (0..packets)
            .map(|_| {
                let grid = (self.unit() * self.unit() * 4.0).floor() * 10.0;
                let hand_over = self.unit() < chance;
                Some(if hand_over { 150.0 + 200.0 * self.unit() } else { grid })
            })
            .collect()
    }
}
