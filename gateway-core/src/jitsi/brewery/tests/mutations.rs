//! What a brewery says, with faults: no panic, nothing grows, and whoever asks for a call is answered.

use super::*;
use crate::jitsi::capture::mutate;

/// Mutations of this run; `WEEBEE_JITSI_MUTATIONS=1000000` for the long one.
fn rounds() -> u32 {
    let asked = std::env::var("WEEBEE_JITSI_MUTATIONS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

#[test]
fn a_brewery_with_faults_does_no_harm() {
    let real = capture::jigasi::stanzas("brewery");
    let others = ["42-rayo-dial", "46-rayo-graceful"].map(Capture::stanzas);
    let heard = |capture: &Capture<Element>| -> Vec<String> {
        let received = capture.entries.iter().filter_map(|entry| match &entry.seen {
            Seen::Received(stanza) => Some(String::from(stanza)),
            _ => None,
        });
        received.collect()
    };
    let mut texts = heard(&real);
    texts.extend(others.iter().flat_map(heard));
    let dials: Vec<String> = texts.iter().filter(|text| text.contains("<dial")).cloned().collect();
    let mut rng = Rng::from_number(12);
    let mut bench = Bench::inside();
    let (mut parsed, mut asked, mut joined) = (0_u32, 0_u32, 0_u32);
    for round in 0..rounds() {
        // Dials are one stanza in fifty of the recording, and half of what is interesting.
        let from = if rng.below(2) == 0 { &dials } else { &texts };
        let text = mutate(&from[rng.below(from.len() as u32) as usize], &mut rng);
        let Ok(stanza) = text.parse::<Element>() else { continue };
        parsed += 1;
        bench.machine.handle_stanza(bench.now, &stanza);
        bench.now += Duration::from_millis(u64::from(rng.below(400)));
        bench.machine.handle_timeout(bench.now);
        if rng.below(500) == 0 {
            bench.machine.stream_down();
            bench.up(rng.below(2) == 0);
        }
        let (sent, events) = bench.drain();
        assert!(sent.len() + events.len() <= 12, "round {round}: {sent:?} {events:?}");
        for event in events {
            match event {
                BreweryEvent::Dial(ticket, order) => {
                    asked += 1;
                    assert!(order.conference.ends_with("@muc.meet.test"), "{order:?}");
                    if rng.below(3) > 0 {
                        bench.machine.answer(ticket, Ok(format!("{}/1", order.conference)));
                        bench.machine.ended(ticket);
                    }
                }
                BreweryEvent::Joined => joined += 1,
                _ => {}
            }
        }
        bench.drain();
        assert!(bench.machine.dials_waiting() <= settings().dials_max);
    }
    assert!(parsed > rounds() / 20, "only {parsed} were XML");
    assert!(asked > rounds() / 200, "only {asked} were dials");
    assert!(joined > 0, "it never came back in");
}
