use super::*;

struct Feed {
    reception: Reception,
    start: Instant,
}

impl Feed {
    fn new() -> Self {
        Self { reception: Reception::default(), start: Instant::now() }
    }

    /// Packet `number` of a G.711 stream, `late_ms` after its time.
    fn packet(&mut self, ssrc: u32, number: u16, late_ms: u64) -> Arrival {
        let timestamp = u32::from(number) * 160;
        let header =
            RtpHeader { payload_type: 0, marker: false, sequence: number, timestamp, ssrc };
        let arrival = self.reception.receive(&header);
        if let Arrival::Fresh(placed) = arrival {
            let due = Duration::from_millis(u64::from(number) * 20 + late_ms);
            self.reception.note_audio(self.start + due, placed.timestamp, 8_000);
        }
        arrival
    }
}

#[test]
fn loss_is_what_did_not_come() {
    let mut feed = Feed::new();
    for number in (0..100).filter(|number| number % 10 != 3) {
        feed.packet(1, number, 0);
    }
    assert_eq!((feed.reception.received(), feed.reception.lost()), (90, 10));
    let block = feed.reception.report_block().unwrap();
    assert_eq!((block.fraction_lost, block.cumulative_lost), (25, 10));
    assert_eq!(feed.reception.report_block().unwrap().fraction_lost, 0, "since the last report");
}

#[test]
fn a_duplicate_is_told_and_not_counted() {
    let mut feed = Feed::new();
    for number in [0, 1, 1, 2, 0, 3] {
        feed.packet(1, number, 0);
    }
    assert_eq!(feed.packet(1, 3, 0), Arrival::Duplicate);
    assert_eq!((feed.reception.received(), feed.reception.lost()), (4, 0));
}

#[test]
fn reordered_packets_are_not_lost_even_before_the_first() {
    let mut feed = Feed::new();
    for number in [5, 4, 7, 6, 3] {
        assert!(matches!(feed.packet(1, number, 0), Arrival::Fresh(_)));
    }
    assert_eq!((feed.reception.received(), feed.reception.lost()), (5, 0));
}

#[test]
fn jitter_is_zero_on_a_steady_stream_and_follows_an_unsteady_one() {
    let mut steady = Feed::new();
    let mut unsteady = Feed::new();
    for number in 0..500 {
        steady.packet(1, number, 30);
        unsteady.packet(1, number, u64::from(number % 2) * 8);
    }
    assert_eq!(steady.reception.jitter(), Duration::ZERO);
    let jitter = unsteady.reception.jitter().as_micros();
    assert!((7_000..=8_100).contains(&jitter), "{jitter} us for steps of 8 ms");
}

#[test]
fn an_ssrc_change_starts_anew_and_keeps_the_sums() {
    let mut feed = Feed::new();
    for number in [0, 1, 3] {
        feed.packet(1, number, 0);
    }
    let Arrival::Fresh(placed) = feed.packet(2, 60_000, 0) else { panic!("dropped") };
    assert!(placed.new_stream);
    assert_eq!((feed.reception.received(), feed.reception.lost()), (4, 1));
    assert_eq!(feed.reception.ssrc(), Some(2));
}

#[test]
fn a_restart_below_where_it_was_counts_what_was_lost_until_then() {
    let mut feed = Feed::new();
    for sequence in [60_000, 60_001, 60_004] {
        feed.packet(1, sequence, 0);
    }
    feed.packet(1, 100, 0);
    feed.packet(1, 101, 0);
    assert_eq!(feed.reception.lost(), 2);
    assert_eq!(feed.reception.received(), 4);
}

#[test]
fn a_restart_needs_two_packets() {
    let mut feed = Feed::new();
    feed.packet(1, 10, 0);
    assert_eq!(feed.packet(1, 50_000, 0), Arrival::Suspicious);
    assert!(matches!(feed.packet(1, 50_001, 0), Arrival::Fresh(Placed { new_stream: true, .. })));
}
