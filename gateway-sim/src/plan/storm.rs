//! A storm: many phones that call and many that are called, all at once, and one thing in a hundred goes wrong.

use std::time::Duration;

use gateway_core::base::rng::Rng;

use super::meeting::{Happening, MeetingPlan, Who, webs_at};
use super::{Callee, Ending, Knobs, PhonePlan, Reply, WorldPlan, digits};
use crate::link::LinkPlan;

impl WorldPlan {
    /// So many phones that call a meeting and as many that it calls, within three seconds.
    pub fn draw_storm(seed: u64, each: usize) -> Self {
        let root = Rng::from_number(seed);
        let mut rng = root.fork("storm");
        let pin = digits(&mut root.fork("pin"), 9);
        let host_pin = digits(&mut root.fork("host pin"), 9);
        let phones: Vec<_> = (0..2 * each)
            .map(|index| {
                let mut dice = root.fork(&format!("phone/{index}"));
                let link = LinkPlan {
                    loss_permille: 10,
                    delay: Duration::from_millis(10 + u64::from(dice.below(30))),
                    ..LinkPlan::default()
                };
                (PhonePlan::draw_for_storm(index, index >= each, &pin, &mut dice), link, link)
            })
            .collect();
        let mut happenings = Vec::new();
        for index in 0..phones.len() {
            let at = Duration::from_millis(2_000 + u64::from(rng.below(9_000)));
            let lasts = Duration::from_millis(200 + u64::from(rng.below(4_000)));
            let who = Who::Phone(index);
            // One in a hundred for each kind.
            let kinds = [
                Happening::StreamBreaks(index, lasts, rng.below(2) == 0),
                Happening::Kick(who),
                Happening::PathBreaks(who, lasts),
                Happening::EndSession(who, "connectivity-error"),
                Happening::HangUp(0, index),
            ];
            happenings.extend(kinds.into_iter().filter(|_| rng.below(100) == 0).map(|it| (at, it)));
        }
        if rng.below(4) == 0 {
            happenings.push((Duration::from_secs(6), Happening::BridgeDies));
        }
        let knobs = Knobs {
            calls_max: 4 * each,
            trunk_calls_max: 4 * each,
            port_pairs: 4 * each as u16,
            members_max: 4 * each,
            bind_fails_permille: 10,
            ..Knobs::calm()
        };
        let meeting = MeetingPlan { webs: webs_at(&[0]), happenings, ..MeetingPlan::default() };
        Self { seed, phones, knobs, pin, host_pin, meeting: Some(meeting) }
    }
}

impl PhonePlan {
    fn draw_for_storm(index: usize, is_called: bool, pin: &str, rng: &mut Rng) -> Self {
        let mut ms = |low: u64, high: u32| Duration::from_millis(low + u64::from(rng.below(high)));
        let (starts, talk, reply_after) = (ms(1_000, 3_000), ms(2_000, 4_000), ms(300, 4_000));
        let starts_as = Self { starts, ..Self::calm(index, pin, talk) };
        if !is_called {
            return starts_as;
        }
        let reply = match rng.below(100) {
            0 => Reply::Refuses(reply_after, 486),
            1 => Reply::Refuses(reply_after, 503),
            2 => Reply::Nothing,
            _ => Reply::Answers(reply_after),
        };
        let keys = if rng.below(4) == 0 { "12,3" } else { "" };
        let rings_after = Duration::from_millis(u64::from(rng.below(300)));
        let callee = Some(Callee { rings_after, is_heard_early: false, reply, keys });
        let ending = if rng.below(100) == 0 { Ending::Vanish } else { Ending::Bye };
        Self { callee, ending, typed: Vec::new(), ..starts_as }
    }
}
