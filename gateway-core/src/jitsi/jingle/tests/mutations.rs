//! Captured stanzas with faults: no panic, no growth, whatever the focus writes.

use super::*;
use crate::jitsi::capture::mutate;
use crate::jitsi::stanza::channel::{BridgeMessage, ClientMessage};

/// Mutations of this run; `WEEBEE_JITSI_MUTATIONS=1000000` for the long one.
fn rounds() -> u32 {
    let asked = std::env::var("WEEBEE_JITSI_MUTATIONS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(3_000)
}

#[test]
fn mutated_stanzas_do_no_harm() {
    let texts: Vec<String> = capture::names()
        .iter()
        .flat_map(|name| Capture::stanzas(name).entries)
        .filter_map(|entry| entry.value().map(String::from))
        .filter(|text| text.contains("urn:xmpp:jingle:1"))
        .collect();
    let mut rng = Rng::from_number(8);
    let now = Instant::now();
    let mut machine = machine(FOCUS, ME, &[]);
    let mut parsed = 0_u32;
    for round in 0..rounds() {
        let text = &texts[rng.below(texts.len() as u32) as usize];
        // All are from the focus of our room, or the machine would not look at them.
        let text = mutate(&from_our_focus(text), &mut rng);
        let Ok(stanza) = text.parse::<Element>() else { continue };
        parsed += 1;
        machine.handle_stanza(now, &stanza);
        if let Some(Ok(jingle)) = stanza.get_child("jingle", ns::JINGLE).map(Jingle::read) {
            assert_eq!(Jingle::read(&jingle.write()), Ok(jingle), "{text}");
        }
        let (sent, events) = drain(&mut machine);
        assert!(sent.len() + events.len() <= 3, "round {round}: {sent:?} {events:?}");
        for event in events {
            if let JingleEvent::Offered(offer) | JingleEvent::TransportReplaced(offer) = event {
                assert!(offer.sources.len() <= 4 * crate::base::limits::JITSI_SOURCES_MAX);
                machine.command(now, JingleCommand::Accept(answer(&offer)));
            }
        }
        drain(&mut machine);
        assert!(machine.asked.len() <= ASKED_MAX);
    }
    assert!(parsed > rounds() / 20, "only {parsed} were XML");
}

#[test]
fn mutated_channel_messages_do_no_harm() {
    let texts: Vec<String> = capture::message_names()
        .iter()
        .flat_map(|name| Capture::messages(name).entries)
        .filter_map(|entry| entry.value().cloned())
        .filter(|text| text.starts_with('{'))
        .collect();
    assert!(texts.len() > 50);
    let mut rng = Rng::from_number(9);
    for _ in 0..rounds() {
        let text = mutate(&texts[rng.below(texts.len() as u32) as usize], &mut rng);
        if let Ok(message) = BridgeMessage::read(&text) {
            assert!(BridgeMessage::read(&message.write()).is_ok(), "{text}");
        }
        let _ = ClientMessage::read(&text);
    }
}

fn from_our_focus(text: &str) -> String {
    let Some((before, after)) = text.split_once("@muc.meet.test/focus") else {
        return text.to_owned();
    };
    let start = before.rfind(['"', '\'']).map_or(0, |at| at + 1);
    format!("{}{FOCUS}{after}", &before[..start])
}
