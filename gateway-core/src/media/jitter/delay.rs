//! How long to hold audio back: a histogram of lateness against the fastest packet of the last second.
//!
//! All delays are in microseconds above the fastest path. Two questions, two histograms: how late do packets come
//! *in order* (the maximum of each half second; a quantile of it is the target), and how late do *overtaken* ones
//! come (a loss if we do not wait: delay is weighed against loss).

/// The estimator of one stream.
#[derive(Clone, Debug)]
pub struct DelayEstimator {
    fastest: FastestPath,
    in_order: Histogram,
    overtaken: Histogram,
    interval_end: i64,
    interval_max: Option<i64>,
    target: i64,
    /// The last lateness above the target, and until when it forbids playing faster.
    spike: i64,
    spike_end: i64,
}

impl DelayEstimator {
    /// An estimator that knows nothing yet.
    pub fn new() -> Self {
        Self {
            fastest: FastestPath::default(),
            in_order: Histogram::new(),
            overtaken: Histogram::new(),
            interval_end: 0,
            interval_max: None,
            target: START_US,
            spike: 0,
            spike_end: i64::MIN,
        }
    }

    /// A packet arrived at `arrival` (us on any clock) that was sent at `sent` (us on the sender's).
    pub fn packet(&mut self, arrival: i64, sent: i64, overtaken: bool) {
        let transit = arrival.saturating_sub(sent);
        let late = transit.saturating_sub(self.fastest.after(arrival, transit)).max(0);
        self.overtaken.add(if overtaken { late } else { 0 }, OVERTAKEN_MEMORY);
        // An interval ends before the packet that comes after it: a queue that drains at once is one event.
        if arrival >= self.interval_end {
            if let Some(max) = self.interval_max.take() {
                self.in_order.add(max, IN_ORDER_MEMORY);
            }
            self.interval_end = arrival.saturating_add(INTERVAL_US);
        }
        if !overtaken {
            self.interval_max = Some(self.interval_max.map_or(late, |max| max.max(late)));
        }
        let for_order = self.in_order.quantile(QUANTILE).unwrap_or(START_US);
        self.target = for_order.max(self.overtaken.cheapest());
        if late > self.target && (late >= self.spike || arrival > self.spike_end) {
            self.spike = late;
            self.spike_end = arrival.saturating_add(SPIKE_HOLD_US);
        }
    }

    /// Audio to hold back, above the fastest path.
    pub fn target(&self) -> i64 {
        self.target
    }

    /// Delay not to be undercut by playing faster: a spike may be the first of many, or a new route.
    pub fn ceiling(&self, now: i64) -> i64 {
        if now < self.spike_end { self.target.max(self.spike) } else { self.target }
    }

    /// Transit time of the fastest packet of the last second.
    pub fn fastest(&self) -> i64 {
        self.fastest.least()
    }

    /// The sender's clock or the route is another one: keeps what was learned about jitter.
    pub fn restart(&mut self) {
        self.fastest = FastestPath::default();
        self.interval_max = None;
        self.interval_end = 0;
    }
}

impl Default for DelayEstimator {
    fn default() -> Self {
        Self::new()
    }
}

/// Least transit time over a sliding window of half-second steps.
#[derive(Clone, Debug, Default)]
struct FastestPath {
    steps: [Option<i64>; WINDOW_STEPS],
    step_end: Option<i64>,
}

impl FastestPath {
    /// Takes one transit time; gives the least of the window.
    fn after(&mut self, arrival: i64, transit: i64) -> i64 {
        let mut end = self.step_end.unwrap_or(arrival.saturating_add(INTERVAL_US));
        if arrival.saturating_sub(end) > INTERVAL_US * WINDOW_STEPS as i64 {
            self.steps = [None; WINDOW_STEPS];
            end = arrival.saturating_add(INTERVAL_US);
        }
        while arrival >= end {
            self.steps.rotate_right(1);
            self.steps[0] = None;
            end = end.saturating_add(INTERVAL_US);
        }
        self.step_end = Some(end);
        self.steps[0] = Some(self.steps[0].map_or(transit, |least| least.min(transit)));
        self.least()
    }

    fn least(&self) -> i64 {
        self.steps.iter().flatten().copied().min().unwrap_or(0)
    }
}

/// Shares of lateness in buckets of 5 ms; old ones fade.
#[derive(Clone, Debug)]
struct Histogram {
    shares: [f32; BUCKETS],
    count: u32,
}

impl Histogram {
    fn new() -> Self {
        Self { shares: [0.0; BUCKETS], count: 0 }
    }

    fn add(&mut self, late: i64, memory: f32) {
        let bucket = usize::try_from(late / BUCKET_US).unwrap_or(0).min(BUCKETS - 1);
        self.count = self.count.saturating_add(1);
        // A plain mean at first, then exponential forgetting.
        let keep = memory.min(1.0 - 1.0 / self.count as f32);
        for share in &mut self.shares {
            *share *= keep;
        }
        self.shares[bucket] += 1.0 - keep;
    }

    /// Upper edge of the bucket below which a share of `quantile` lies.
    fn quantile(&self, quantile: f32) -> Option<i64> {
        if self.count < COUNT_MIN {
            return None;
        }
        // One bad interval is never enough to judge by, however few there are.
        let quantile = quantile.min(1.0 - 1.5 / self.count as f32);
        let mut sum = 0.0;
        let place = self.shares.iter().position(|share| {
            sum += share;
            sum >= quantile
        });
        Some((place.unwrap_or(BUCKETS - 1) as i64 + 1) * BUCKET_US)
    }

    /// The delay at which waiting longer costs more than the loss it avoids. Few overtaken packets: 0.
    fn cheapest(&self) -> i64 {
        let mut lost: f32 = self.shares.iter().skip(1).sum();
        let mut best = (lost * LOSS_COST_US, 0);
        for (bucket, share) in self.shares.iter().enumerate().skip(1) {
            lost -= share;
            let delay = (bucket as i64 + 1) * BUCKET_US;
            let cost = delay as f32 + lost.max(0.0) * LOSS_COST_US;
            if cost < best.0 {
                best = (cost, delay);
            }
        }
        best.1
    }
}

/// Before anything is known. 30 ms play any clean line and most Wi-Fi.
const START_US: i64 = 30_000;
/// Fewer half seconds tell nothing: a target that moves at each of them is heard as unrest.
const COUNT_MIN: u32 = 3;
/// Long enough to tell a new route from a spike.
const SPIKE_HOLD_US: i64 = 400_000;
const BUCKET_US: i64 = 5_000;
/// Lateness up to 500 ms is told apart.
const BUCKETS: usize = 100;
const INTERVAL_US: i64 = 500_000;
/// The fastest packet of the last 0.5 to 1 s is the reference: a longer memory mistakes a new route for jitter.
const WINDOW_STEPS: usize = 2;
/// The knob between delay and quality (docs/media.md): 0.90 halves the delay of Wi-Fi and doubles its concealment.
const QUANTILE: f32 = 0.97;
/// Per half second: a time constant of 30 s.
const IN_ORDER_MEMORY: f32 = 0.983;
/// Per packet: a time constant of 20 s of 20 ms packets.
const OVERTAKEN_MEMORY: f32 = 0.999;
/// Losing every packet is as bad as this much delay: one percent is worth 500 ms.
const LOSS_COST_US: f32 = 50_000_000.0;
