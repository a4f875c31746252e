//! Tickets in place of PINs, and what is told of those who come in.

use super::*;

const TICKET: &str = "abcdefghijklmnopqrstuvwxyz";

impl Talk {
    /// A registry that knows one ticket, of the carrier and the board's room.
    pub(super) fn tickets(&self, ask: &TicketAsk) -> Lookup {
        if self.broken {
            return Err(LookupFailed);
        }
        if ask.text.reveal() != TICKET || ask.trunk != "carrier" {
            return Ok(Verdict::Refused(Refusal::Ticket));
        }
        let digits = Pii::new(GOOD.to_owned());
        self.registry(&PinAsk { digits, room: ask.room.clone(), caller: None, spend: false })
    }

    fn call_showing(&mut self, trunk: TrunkId, number: &str, ticket: &str) -> CallKey {
        let shown = Pii::new(ticket.to_owned());
        self.call_with(trunk, number, |facts| {
            facts.headers.push(("x-wb-ticket".to_owned(), shown));
        })
    }
}

#[test]
fn a_ticket_leads_into_the_room_of_its_pin_without_a_word() {
    let mut t = Talk::new();
    let call = t.call_showing(CARRIER, "pin", TICKET);
    t.expect_silence(call);
    t.run_for(Duration::from_millis(1));
    let route = t.expect_route(call);
    assert_eq!((route.room.as_str(), route.note.as_deref()), ("board", Some("ticket:g")));
    let counters = t.ivr.counters();
    assert_eq!((counters.tickets_valid, counters.pins_valid, t.ivr.dialogues()), (1, 0, 0));
    assert!(t.admitted.is_empty() && t.refused.is_empty(), "its PIN was noted when it was judged");
}

#[test]
fn a_bad_ticket_leads_to_the_greeting_and_counts_as_a_wrong_pin() {
    let mut t = Talk::new();
    for bad in ["forged", "zyxwvutsrqponmlkjihgfedcba", " "] {
        let call = t.call_showing(CARRIER, "pin", bad);
        t.run_for(Duration::from_millis(1));
        t.expect_question(call, ENTER, Language::En);
    }
    assert_eq!(t.refused, [Refusal::Ticket; 2], "an empty header is no ticket");
    let call = t.call_showing(PBX, "pin", TICKET);
    t.run_for(Duration::from_millis(1));
    t.expect_question(call, ENTER, Language::Ru);
    // Two more tries are left.
    t.types(call, WRONG);
    t.run_for(ANSWER_AFTER);
    t.expect_question(call, AGAIN, Language::Ru);
    t.types(call, WRONG);
    t.run_for(ANSWER_AFTER);
    assert!(matches!(t.heard(call), Said::SayAndEnd(_, Language::Ru, EndReason::PinRefused)));
    assert_eq!((t.ivr.counters().tickets_refused, t.ivr.counters().pins_refused), (3, 2));
}

#[test]
fn forged_tickets_lock_their_caller_out_like_wrong_pins() {
    let mut t = Talk::with(&format!("[pin]\nwrong_per_caller_h = 3\n{CONFIG}"));
    for _ in 0..3 {
        let call = t.call_showing(CARRIER, "pin", "forged");
        t.run_for(Duration::from_millis(1));
        t.expect_question(call, ENTER, Language::En);
    }
    let call = t.call(CARRIER, "pin");
    t.heard(call);
    t.types(call, GOOD);
    t.run_for(ANSWER_AFTER);
    t.expect_question(call, AGAIN, Language::En);
    assert_eq!(t.refused.last(), Some(&Refusal::Locked));
}

#[test]
fn the_dialled_number_and_the_trunk_say_which_tickets_count() {
    let mut t = Talk::new();
    let call = t.call_showing(CARRIER, "602", TICKET);
    t.run_for(Duration::from_millis(1));
    assert_eq!(t.expect_route(call).length_max, Some(Duration::from_secs(1_800)));
    let other = CONFIG.replace("room = \"board\"", "room = \"other\"");
    let mut t = Talk::with(&other);
    let call = t.call_showing(CARRIER, "602", TICKET);
    t.run_for(Duration::from_millis(1));
    t.expect_question(call, ENTER, Language::PtBr);
    assert_eq!(t.refused, [Refusal::OtherRoom]);

    let deaf = CONFIG.replace("\"192.0.2.1\"]", "\"192.0.2.1\"]\ntickets = false");
    let mut t = Talk::with(&deaf);
    let call = t.call_showing(CARRIER, "pin", TICKET);
    t.expect_question(call, ENTER, Language::En);
    assert!(t.refused.is_empty(), "not looked at, not counted");
}

#[test]
fn a_registry_that_cannot_judge_a_ticket_lets_nobody_in() {
    for (broken, takes) in [(true, 1), (false, 60_000)] {
        let mut t = Talk::new();
        (t.broken, t.lookup_takes) = (broken, Duration::from_millis(takes));
        let call = t.call_showing(CARRIER, "pin", TICKET);
        t.run_for(LOOKUP_PATIENCE);
        t.expect_goodbye(call, PromptId::ServiceUnavailable, EndReason::ServiceUnavailable);
        t.run_for(Duration::from_secs(60));
        t.expect_silence(call);
        assert_eq!(t.ivr.dialogues(), 0);
    }
}

#[test]
fn who_was_let_in_or_refused_is_told_with_call_number_and_source() {
    let mut t = Talk::new();
    let source: std::net::SocketAddr = ([192, 0, 2, 7], 5060).into();
    let call = t.call_with(CARRIER, "pin", |facts| facts.source = Some(source));
    t.types(call, WRONG);
    t.run_for(ANSWER_AFTER);
    assert!(t.admitted.is_empty());
    t.types(call, GOOD);
    t.run_for(ANSWER_AFTER);
    let admitted = t.admitted.pop().expect("one");
    assert_eq!(admitted.typist.call, Some(call.to_string()));
    assert_eq!(admitted.typist.source, Some(source.ip()));
    assert_eq!(admitted.typist.caller, Some(Pii::new("+622112345647".to_owned())));
    assert!(t.admitted.is_empty());
}
