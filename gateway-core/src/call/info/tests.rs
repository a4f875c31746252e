//! Held against what a real Jigasi said (`testdata/jigasi`), and against what nobody should say.

use super::*;

fn talk(heartbeat: Option<Duration>) -> (InfoTalk, Instant) {
    (InfoTalk::new(InfoManners { heartbeat }, Rng::from_number(7)), Instant::now())
}

fn said(talk: &mut InfoTalk) -> Vec<String> {
    let text = |said: Said| String::from_utf8(said.write()).expect("JSON is UTF-8");
    std::iter::from_fn(|| talk.poll_output()).map(text).collect()
}

/// Bodies of the INFOs of one side in a recording, in order, call by call.
fn recorded(file: &str, from: &str) -> Vec<Vec<String>> {
    let path = format!("{}/../testdata/jigasi/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("a recording");
    let mut calls: Vec<Vec<String>> = Vec::new();
    for block in text.split("---- ").skip(1) {
        let (heading, message) = block.split_once('\n').expect("a heading");
        if message.starts_with("INVITE ") {
            calls.push(Vec::new());
        }
        if heading.ends_with(from) && message.starts_with("INFO ") {
            let body = message.split_once("\n\n").expect("a body").1.trim_end();
            calls.last_mut().expect("a call").push(body.to_owned());
        }
    }
    calls
}

#[test]
fn the_lobby_is_told_byte_for_byte_as_jigasi_tells_it() {
    let (mut admitted, _) = talk(None);
    admitted.step(JoinStep::InLobby);
    admitted.step(JoinStep::InLobby);
    admitted.step(JoinStep::Admitted);
    let (mut denied, _) = talk(None);
    denied.step(JoinStep::InLobby);
    denied.rejected();
    // A lobby that the host opens is a lobby.
    let (mut hosted, _) = talk(None);
    hosted.step(JoinStep::InLobbyUntilHost);
    hosted.step(JoinStep::AdmittedByHost);
    let hosted = said(&mut hosted);
    let (admitted, denied) = (said(&mut admitted), said(&mut denied));
    assert_eq!(hosted, admitted);
    assert_eq!(recorded("lobby.sip.txt", "from gateway"), [admitted.clone(), denied, admitted]);
}

/// What the test phone said in the recording is told to us at the same places.
fn replay(file: &str, with_mute: bool) {
    let theirs = recorded(file, "to gateway").remove(0);
    let mut ours = recorded(file, "from gateway").remove(0);
    let (mut talk, now) = talk(None);
    let mut wishes = theirs.iter();
    let mut wish = |talk: &mut InfoTalk| {
        let body = wishes.next().expect("a wish").as_bytes();
        match talk.received(now, body) {
            Ok(Some(Wish::Mute(muted))) => muted,
            other => panic!("{other:?}"),
        }
    };
    if with_mute {
        talk.moderated(Moderation::Muted);
    }
    for expected in [true, false] {
        assert_eq!(wish(&mut talk), expected);
        assert!(talk.microphone(expected));
    }
    talk.moderated(Moderation::SpeechModerated(true));
    if with_mute {
        talk.moderated(Moderation::Muted);
    }
    assert!(!wish(&mut talk));
    assert!(talk.speech_refused());
    talk.moderated(Moderation::SpeechApproved(true));
    assert!(!wish(&mut talk));
    assert!(talk.microphone(false));
    let mut said = said(&mut talk);
    if !with_mute {
        // There Jigasi never answered these wishes: the defect that we do not have.
        said.retain(|body| !body.contains("\"OK\""));
    }
    // Random ids of its own are as long as ours.
    for body in said.iter_mut().chain(&mut ours).filter(|body| body.contains("muteRequest")) {
        let from = body.find("\"id\":\"").expect("an id") + 6;
        assert_eq!(body[from..].find('"'), Some(36), "{body}");
        body.replace_range(from..from + 36, "ID");
    }
    assert_eq!(said, ours);
}

#[test]
fn muting_is_told_byte_for_byte_as_jigasi_tells_it() {
    replay("translator-mute.sip.txt", true);
    replay("mute.sip.txt", false);
}

#[test]
fn ids_of_ours_are_random_uuids() {
    let (mut talk, _) = talk(None);
    let mut ids = Vec::new();
    for _ in 0..50 {
        talk.mute_request();
        let Some(Said::MuteRequest { id }) = talk.poll_output() else { panic!("a request") };
        let parts: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&id[14..15], "4");
        assert!("89ab".contains(&id[19..20]), "{id}");
        ids.push(id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[test]
fn a_password_leaves_the_lobby() {
    let (mut talk, now) = talk(None);
    talk.step(JoinStep::InLobby);
    let wish = talk.received(now, br#"{"i":5,"t":4,"d":{"pwd":"48\u00e9"}}"#);
    assert_eq!(wish, Ok(Some(Wish::Password(Pii::new("48é".to_owned())))));
    talk.leaves_lobby();
    talk.leaves_lobby();
    assert_eq!(said(&mut talk), [r#"{"t":3,"i":0}"#, r#"{"t":5,"i":1}"#]);
}

#[test]
fn the_host_and_those_who_only_listen_are_told_as_bare_booleans() {
    let (mut talk, _) = talk(None);
    talk.step(JoinStep::WaitingForHost);
    talk.step(JoinStep::HostArrived);
    talk.joined(Some(false));
    talk.joined(None);
    talk.moderated(Moderation::SpeechModerated(false));
    talk.moderated(Moderation::SpeechApproved(false));
    let expected = [
        r#"{"t":15,"d":false}"#,
        r#"{"t":15,"d":true}"#,
        r#"{"t":12,"d":false}"#,
        r#"{"t":8,"d":false}"#,
        r#"{"t":10}"#,
    ];
    assert_eq!(said(&mut talk), expected);
}

#[test]
fn two_heartbeats_without_an_answer_are_the_end() {
    let every = Duration::from_secs(10);
    let (mut talk, start) = talk(Some(every));
    assert_eq!(talk.deadline(), None);
    talk.answered(start);
    for beat in 1..=5 {
        let at = start + every * beat;
        assert_eq!(talk.deadline(), Some(at));
        assert!(talk.handle_timeout(at));
        assert_eq!(said(&mut talk), [r#"{"t":11}"#]);
        if beat <= 3 {
            assert_eq!(talk.received(at, br#"{"t":11}"#), Ok(None));
        }
    }
    assert!(!talk.handle_timeout(start + every * 6));
    assert_eq!((talk.deadline(), said(&mut talk)), (None, vec![]));
}

#[test]
fn a_wish_is_answered_even_if_the_room_is_not_heard_of() {
    let (mut talk, now) = talk(None);
    for id in 0..WISHES_MAX + 1 {
        let wish = format!(r#"{{"type":"MUTEREQUEST","id":"{id}\"\\","data":{{"audio":false}}}}"#);
        talk.received(now, wish.as_bytes()).expect("a wish");
    }
    // The one too many first, then those that waited.
    assert_eq!(talk.deadline(), Some(now + WISH_ANSWERED_WITHIN));
    assert!(talk.handle_timeout(now + WISH_ANSWERED_WITHIN));
    let said = said(&mut talk);
    assert_eq!(said.len(), WISHES_MAX + 1);
    assert_eq!(
        said[1],
        r#"{"data":{"audio":false},"id":"0\"\\","type":"muteResponse","status":"FAILED"}"#
    );
    assert_eq!(talk.deadline(), None);
}

#[test]
fn a_moderators_mute_answers_a_wish_to_be_heard_with_no() {
    let (mut talk, now) = talk(None);
    talk.received(now, br#"{"type":"muteRequest","id":"a","data":{"audio":false}}"#).expect("ours");
    assert!(!talk.microphone(true));
    talk.received(now, br#"{"type":"muteRequest","id":"b","data":{"audio":false}}"#).expect("ours");
    talk.received(now, br#"{"type":"muteRequest","id":"c","data":{"audio":true}}"#).expect("ours");
    assert!(talk.microphone(true));
    let statuses: Vec<bool> = said(&mut talk).iter().map(|body| body.contains("OK")).collect();
    assert_eq!(statuses, [false, false, true]);
}

#[test]
fn what_is_no_message_is_not_known() {
    let (mut talk, now) = talk(None);
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let long =
        format!(r#"{{"type":"muteRequest","id":"{}","data":{{"audio":true}}}}"#, "x".repeat(300));
    for body in [
        "",
        "{",
        "null",
        "4",
        "[]",
        r#"{"t":4}"#,
        r#"{"t":4,"d":{"pwd":4}}"#,
        r#"{"t":4,"d":"1234"}"#,
        r#"{"t":-4,"d":{"pwd":"1"}}"#,
        r#"{"t":4.5,"d":{"pwd":"1"}}"#,
        r#"{"t":1e400}"#,
        r#"{"t":99999999999999999999999999}"#,
        r#"{"t":1}"#,
        r#"{"type":"muteRequest","data":{"audio":true}}"#,
        r#"{"type":"muteRequest","id":1,"data":{"audio":true}}"#,
        r#"{"type":"muteRequest","id":"a","data":{"audio":"true"}}"#,
        r#"{"type":"muteResponse","id":"a"}"#,
        r#"{"type":"dance","id":"a"}"#,
        &deep,
        &long,
    ] {
        assert_eq!(talk.received(now, body.as_bytes()), Err(NotKnown), "{body}");
    }
    assert_eq!(talk.received(now, b"{\"t\":11,\"i\":\xff}"), Err(NotKnown));
    assert!(said(&mut talk).is_empty());
}

/// 20,000 by default; `WEEBEE_INFO_MUTATIONS=1000000` for the long run.
fn mutations() -> usize {
    let asked = std::env::var("WEEBEE_INFO_MUTATIONS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

#[test]
fn broken_messages_never_panic_and_never_fill_anything() {
    let seeds: [&[u8]; 5] = [
        br#"{"t":4,"i":1,"d":{"pwd":"1234"}}"#,
        br#"{"t":11}"#,
        br#"{"type":"muteRequest","id":"u-1","data":{"audio":true}}"#,
        br#"{"type":"muteResponse","id":"u-1","status":"OK","data":{"audio":true}}"#,
        br#"[[[[{"a":1e308,"b":"\ud834\udd1e"}]]]]"#,
    ];
    let mut rng = Rng::from_number(11);
    let (mut talk, mut now) = talk(Some(Duration::from_secs(5)));
    talk.answered(now);
    let mut known = 0;
    for _ in 0..mutations() {
        let mut body = seeds[rng.below(seeds.len() as u32) as usize].to_vec();
        for _ in 0..rng.below(4) {
            let at = rng.below(body.len() as u32) as usize;
            match rng.below(4) {
                0 => body[at] = rng.u32() as u8,
                1 => body.insert(at, b"{}[]\",:0\\"[rng.below(9) as usize]),
                2 if body.len() > 1 => drop(body.remove(at)),
                _ => body.truncate(at.max(1)),
            }
        }
        known += usize::from(talk.received(now, &body).is_ok());
        assert!(talk.wishes.len() <= WISHES_MAX);
        now += Duration::from_millis(u64::from(rng.below(3_000)));
        if !talk.handle_timeout(now) {
            talk.answered(now);
            talk.unanswered = 0;
        }
        for said in std::iter::from_fn(|| talk.poll_output()) {
            let body = said.write();
            assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
        }
    }
    assert!(known > mutations() / 10, "{known}");
}
