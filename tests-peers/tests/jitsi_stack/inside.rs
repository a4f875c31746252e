//! Three phones and a web participant in one room: all hear all, the bridge sends speech once; what a moderator does.

use std::time::Duration;

use gateway_core::media::clip::prompt::PromptId;
use gateway_tests_peers::jitsi::{Participant, Wishes};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::sound::{Searched, Speech, Wav, leakage_db};
use gateway_tests_peers::world::{World, wall_clock};
use serde_json::{Value, json};

use crate::stage::{Phone, Plan, SENTENCE, Stage, all_of, judge};

const TRUNK: &str = "[[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n";
const CODECS: [&str; 3] = ["pcma", "g722", "opus"];
const LIMIT: Duration = Duration::from_secs(20);

/// When things happen, in seconds after the first phone was answered.
mod at {
    pub const SENTENCES: [f64; 3] = [26.0, 35.0, 44.0];
    pub const WEB: f64 = 53.0;
    pub const MUTE: f64 = 60.0;
    pub const MUTED_SENTENCE: f64 = 65.0;
    pub const UNMUTE: f64 = 70.0;
    pub const SENTENCE_AGAIN: f64 = 74.0;
    pub const LOCK: f64 = 80.0;
    pub const HAND: f64 = 85.0;
    pub const APPROVE: f64 = 90.0;
    pub const APPROVED_UNMUTE: f64 = 96.0;
    pub const APPROVED_SENTENCE: f64 = 100.0;
    pub const RECORD: f64 = 106.0;
    pub const RECORD_END: f64 = 111.0;
    pub const KICK: f64 = 116.0;
    pub const END: f64 = 122.0;
    pub const OVER: u32 = 146;
}

#[test]
fn three_phones_and_the_web_hear_each_other_and_obey_a_moderator() {
    if !crate::all_there("three_phones_and_the_web_hear_each_other_and_obey_a_moderator") {
        return;
    }
    let world = World::new("jitsi-inside");
    let stage = Stage::new(&world, TRUNK);
    let speeches = [0, 1, 2, 3].map(|number| stage.speech(number));
    let said = speeches[3].wav.clone().then(&Wav::silence(16_000, 120.0));
    let mut web =
        Participant::join(&world, "inside", "webone", &Wishes { says: Some(&said), seconds: 0 });
    web.told(0, LIMIT, "occupant", |told| told["me"] == true && told["role"] == "moderator");
    web.wish(&json!({"do": "speak", "on": false}));

    let mut phones: Vec<Phone> = Vec::new();
    let mut nicks: Vec<String> = Vec::new();
    for number in 0..3 {
        // Its clock begins with its answer, which comes about as late as the first one's.
        let shift = phones.first().map_or(0.0, |first| wall_clock() + first.took - first.answered);
        phones.push(stage.call(
            "inside",
            &format!("phone{number}"),
            &plan(number, shift, &speeches),
        ));
        let seen = wait_until(LIMIT, || (web.phones().len() > number).then_some(()));
        assert!(seen.is_some(), "phone {number} is not seen:\n{}", stage.gateway.log());
        nicks = web.phones();
    }
    let begin = phones[0].answered;
    let clocks: Vec<String> = phones
        .iter()
        .map(|it| format!("{:.1} after {:.1}", it.answered - begin, it.took))
        .collect();
    println!("  answered, in seconds: {clocks:?}");
    let muted = |nick: &str| web_muted(&web, nick);
    assert!(nicks.iter().all(|nick| !muted(nick)), "nobody is muted yet");
    let until = |moment: f64| {
        let wait = begin + moment - wall_clock();
        std::thread::sleep(Duration::from_secs_f64(wait.max(0.0)));
    };

    until(at::WEB - 1.0);
    let before = sent_by_bridge(&stage);
    until(at::WEB);
    web.wish(&json!({"do": "speak", "on": true}));
    until(at::WEB + SENTENCE + 1.0);
    let after = sent_by_bridge(&stage);
    speech_is_sent_once(&before, &after, &nicks);

    until(at::MUTE);
    web.wish(&json!({"do": "mute", "nick": nicks[0]}));
    shown(&web, &nicks[0], "audiomuted", "true");
    until(at::UNMUTE);
    shown(&web, &nicks[0], "audiomuted", "false");

    until(at::LOCK);
    web.wish(&json!({"do": "av-moderation", "on": true}));
    shown(&web, &nicks[1], "audiomuted", "true");
    until(at::HAND);
    let hand = wait_until(LIMIT, || web.occupant(&nicks[1])?["hand"].as_str().map(str::to_owned));
    assert!(hand.is_some_and(|hand| !hand.is_empty()), "a hand is raised");
    until(at::APPROVE);
    web.wish(&json!({"do": "approve", "nick": nicks[1]}));
    until(at::APPROVED_UNMUTE);
    shown(&web, &nicks[1], "audiomuted", "false");

    until(at::RECORD);
    web.wish(&json!({"do": "record", "on": true}));
    until(at::RECORD_END);
    web.wish(&json!({"do": "record", "on": false}));
    until(at::KICK);
    let events = web.events().len();
    web.wish(&json!({"do": "kick", "nick": nicks[2]}));
    web.told(events, LIMIT, "left", |told| told["nick"] == nicks[2].as_str());
    until(at::END);
    web.wish(&json!({"do": "end"}));

    let ears: Vec<Wav> =
        phones.iter_mut().map(|phone| phone.heard(Duration::from_secs(30))).collect();
    let recorded = web.leave();
    for (number, nick) in nicks.iter().enumerate() {
        let voice = recorded.values().find(|recorded| recorded.owner.as_deref() == Some(nick));
        let voice = voice.unwrap_or_else(|| panic!("nothing of phone {number}: {recorded:?}"));
        judge(
            &format!("phone{number}"),
            "web",
            &voice.wav,
            all_of(&voice.wav),
            &speeches[number].wav,
        );
    }
    for (listener, ear) in ears.iter().enumerate() {
        let name = format!("phone{listener}");
        for speaker in (0..4).filter(|speaker| *speaker != listener) {
            let who = if speaker == 3 { "web".to_owned() } else { format!("phone{speaker}") };
            judge(&who, &name, ear, all_of(ear), &speeches[speaker].wav);
        }
        let moment = at::SENTENCES[listener] - (phones[listener].answered - begin);
        let own = leakage_db(ear, around(moment), &speeches[listener].wav);
        println!("    {name} hears itself at {own:.0} dB");
        assert!(own < -40.0);
    }
    a_muted_phone_is_silent(&phones, &ears, &speeches[0]);
    let is_said = |number: usize, words: PromptId| {
        let found = stage.words_at(&ears[number], words);
        assert!(found.is_some(), "phone{number} was not told: {words}");
    };
    is_said(0, PromptId::MutedByModerator);
    is_said(0, PromptId::Unmuted);
    is_said(1, PromptId::MutedByModerator);
    is_said(1, PromptId::HandRaised);
    is_said(1, PromptId::UnmuteRequested);
    for number in 0..3 {
        is_said(number, PromptId::RecordingOn);
        is_said(number, PromptId::RecordingOff);
    }
    is_said(2, PromptId::Kicked);
    is_said(0, PromptId::RoomEndedByHost);
    is_said(1, PromptId::RoomEndedByHost);
    let records = stage.gateway.wait_call_records(3, LIMIT);
    assert_eq!(records.len(), 3, "one record for each call");
}

/// What a phone does; its own clock began `shift` after the first phone's.
fn plan(number: usize, shift: f64, speeches: &[Speech; 4]) -> Plan {
    let own = &speeches[number].wav;
    let plan = Plan::new(CODECS[number], at::OVER).say(at::SENTENCES[number] - shift, own);
    match number {
        0 => plan
            .say(at::MUTED_SENTENCE - shift, own)
            .press(at::UNMUTE - shift, "*6")
            .say(at::SENTENCE_AGAIN - shift, own),
        1 => plan
            .press(at::HAND - shift, "*6")
            .press(at::APPROVED_UNMUTE - shift, "*6")
            .say(at::APPROVED_SENTENCE - shift, own),
        _ => plan,
    }
}

fn web_muted(web: &Participant, nick: &str) -> bool {
    web.occupant(nick).is_some_and(|told| told["audiomuted"] == "true")
}

fn shown(web: &Participant, nick: &str, what: &str, value: &str) {
    let seen =
        wait_until(Duration::from_secs(6), || (web.occupant(nick)?[what] == value).then_some(()));
    assert!(seen.is_some(), "{nick} is not shown with {what} {value}: {:?}", web.occupant(nick));
}

/// While the first phone was muted nobody heard it; before and after it was heard. In the ear of phone 1.
fn a_muted_phone_is_silent(phones: &[Phone], ears: &[Wav], speech: &Speech) {
    let ear = &ears[1];
    let place = |moment: f64| around(moment - (phones[1].answered - phones[0].answered));
    judge("phone0", "phone1", ear, place(at::SENTENCES[0]), &speech.wav);
    let muted = leakage_db(ear, place(at::MUTED_SENTENCE), &speech.wav);
    println!("    phone0 muted: heard at {muted:.0} dB");
    assert!(muted < -40.0, "a muted phone is heard");
    judge("phone0", "phone1", ear, place(at::SENTENCE_AGAIN), &speech.wav);
}

/// Where in a recording a sentence must be that was begun about then: starts of phones differ by a second or two.
fn around(moment: f64) -> Searched {
    Searched { from: moment - 2.0, to: moment + SENTENCE + 3.0 }
}

/// Packets the bridge has sent to each endpoint, by its name.
fn sent_by_bridge(stage: &Stage) -> Vec<(String, u64)> {
    let debug: Value =
        serde_json::from_str(&stage.jitsi.get("http://127.0.0.1:8080/debug?full=true"))
            .expect("the bridge's own account");
    let conferences = debug["conferences"].as_object().cloned().unwrap_or_default();
    let mut sent = Vec::new();
    for conference in conferences.values() {
        for (name, endpoint) in conference["endpoints"].as_object().cloned().unwrap_or_default() {
            let packets = &endpoint["transceiver"]["sender"]["PacketStreamStats"]["packets_sent"];
            sent.push((name, packets.as_u64().expect("packets sent")));
        }
    }
    sent
}

/// Of three phones one gets what the web says; the others are sent (almost) nothing: reports.
fn speech_is_sent_once(before: &[(String, u64)], after: &[(String, u64)], nicks: &[String]) {
    let of = |counts: &[(String, u64)], nick: &String| {
        counts.iter().find(|(name, _)| name == nick).map_or(0, |(_, count)| *count)
    };
    let grew: Vec<u64> =
        nicks.iter().map(|nick| of(after, nick).saturating_sub(of(before, nick))).collect();
    println!("    the bridge sent to the three phones while the web spoke: {grew:?} packets");
    let listeners = grew.iter().filter(|packets| **packets > 100).count();
    assert_eq!(
        listeners, 1,
        "speech goes once over the network, not once for each phone: {grew:?}"
    );
}
