use std::time::{Duration, Instant};

use gateway_core::base::pii::Pii;
use gateway_core::base::rng::Rng;
use serde_json::{Value, json};

use super::api;
use super::heard::{self, Words};
use super::ids::Id;
use super::line::{Act, Line, LineFailure};
use super::room::Origin;
use super::task::WorkspaceHandle;
use super::webhook::{self, Door};
use crate::testing::mutated;

const TOKEN: &str = "sixteen-letters-of-a-token";

/// Inputs of each kind in a run. `WEEBEE_MUTATIONS=1000000` makes it the long one.
fn mutations() -> u32 {
    std::env::var("WEEBEE_MUTATIONS").ok().and_then(|count| count.parse().ok()).unwrap_or(5_000)
}

fn words() -> Words {
    Words { dial_in: "!dialin".to_owned(), call_me: "!callme".to_owned() }
}

fn me() -> Id {
    Id::new("dialinbotdialinbo").expect("an id")
}

/// Frames of a whole conversation, in their order.
fn frames() -> Vec<String> {
    let call = json!({
        "_id": "m1", "rid": "GENERAL", "t": "videoconf", "msg": "", "u": { "_id": "u1", "username": "ana" },
        "blocks": [{ "type": "video_conf", "callId": "6657aabbcc0011223344556f", "blockId": "b", "appId": "videoconf-core" }],
        "ts": { "$date": 1_795_302_834_207_u64 }, "_updatedAt": { "$date": 1 },
    });
    let ask = json!({
        "_id": "m2", "rid": "u1dialinbotdialinbo", "msg": "!callme +62 21 5550100", "u": { "_id": "u1", "username": "ana" },
    });
    let changed = |message: &Value| {
        let args =
            json!([message, { "roomParticipant": true, "roomType": "c", "roomName": "general" }]);
        json!({
            "msg": "changed", "collection": "stream-room-messages", "id": "id",
            "fields": { "eventName": "__my_messages__", "args": args },
        })
    };
    [
        json!({ "server_id": "0" }),
        json!({ "msg": "connected", "session": "s" }),
        json!({ "msg": "result", "id": "login", "result": { "id": "dialinbotdialinbo", "token": "t" } }),
        json!({ "msg": "ready", "subs": ["messages"] }),
        changed(&call),
        changed(&ask),
        json!({ "msg": "ping", "id": "1" }),
        json!({ "msg": "nosub", "id": "messages", "error": { "error": "not-allowed", "reason": "no" } }),
    ]
    .iter()
    .map(Value::to_string)
    .collect()
}

#[test]
fn no_frame_of_a_server_makes_the_line_fall() {
    let mut rng = Rng::from_number(71);
    let frames = frames();
    let (mut acts, mut ups, mut heards) = (0_u32, 0_u32, 0_u32);
    let mut now = Instant::now();
    let mut line = Line::new(now, me(), Pii::new(TOKEN.to_owned()), words(), &rng);
    for _ in 0..mutations() {
        // A conversation with one frame changed, and now and then a socket that is lost.
        now += Duration::from_millis(u64::from(rng.below(90_000)));
        line.handle_timeout(now);
        line.opened(now);
        let bad = rng.below(16);
        for (at, frame) in frames.iter().enumerate() {
            let is_bad = usize::try_from(bad).is_ok_and(|bad| bad == at);
            line.heard(now, &if is_bad { mutated(frame, &mut rng) } else { frame.clone() });
        }
        if rng.below(8) == 0 {
            line.closed(now, LineFailure::Silent);
        }
        while let Some(act) = line.poll_act() {
            acts += 1;
            ups += u32::from(matches!(act, Act::Up(_)));
            heards += u32::from(matches!(act, Act::Heard(_)));
        }
        assert!(line.poll_timeout().0 > now - Duration::from_secs(1));
    }
    assert!(acts > mutations() && ups > mutations() / 50 && heards > ups, "{acts} {ups} {heards}");
}

#[test]
fn no_message_or_answer_is_read_wrongly_enough_to_fall() {
    let mut rng = Rng::from_number(72);
    let record = json!({
        "success": true, "_id": "c1", "rid": "r1", "status": 1, "providerName": "jitsi", "url": "https://meet.test/RocketChatc1",
        "createdBy": { "_id": "u1" }, "users": [{ "_id": "u2" }], "messages": { "started": "m1" }, "roles": ["a"],
        "data": [{ "_id": "c1", "rid": "r1" }], "update": [{ "_id": "r1" }], "createdAt": "2026-11-21T00:00:00.000Z",
    });
    let texts: Vec<String> = frames().into_iter().chain([record.to_string()]).collect();
    let mut read = 0_u32;
    for turn in 0..mutations() {
        let text = &texts[usize::try_from(turn).unwrap_or(0) % texts.len()];
        let text = mutated(text, &mut rng);
        let status = u16::try_from(rng.below(600)).unwrap_or(0);
        let judged = api::judge(status, None, text.as_bytes());
        let Ok(value) = judged.or(serde_json::from_str::<Value>(&text)) else { continue };
        read += 1;
        let _ = (
            api::call_record(&value),
            api::call_records(&value),
            api::rooms(&value),
            api::roles(&value),
        );
        let _ = heard::read(&value, &me(), &words());
        if let Some(message) = value.get("fields").and_then(|it| it.get("args")?.get(0)) {
            let _ = heard::read(message, &me(), &words());
        }
    }
    assert!(read > mutations() / 20, "only {read} were JSON at all");
}

#[test]
fn no_link_makes_the_reader_of_rooms_fall() {
    let mut rng = Rng::from_number(73);
    let ours = Origin {
        hosts: vec!["meet.test".to_owned()],
        prefix: "rocketchat".to_owned(),
        suffix: "-x".to_owned(),
    };
    let links = [
        "https://meet.test/RocketChat6657aabbcc0011223344556f-x?jwt=a.b.c#config.a=\"b\"",
        "http://meet.test:8443/RocketChatЧай%20%D0%A7-x",
        "https://[::1]:443/tenant/RocketChattea-x",
    ];
    let mut ok = 0_u32;
    for turn in 0..mutations() {
        let link = links[usize::try_from(turn).unwrap_or(0) % links.len()];
        if let Ok(room) = ours.room_of_url(&mutated(link, &mut rng)) {
            assert!(room.as_str().starts_with("rocketchat") && room.as_str().ends_with("-x"));
            let _ = ours.call_of_room(&room);
            ok += 1;
        }
    }
    assert!(ok > mutations() / 100, "only {ok} were read");
}

fn door() -> (Door, impl Sized) {
    let (workspace, kept) = WorkspaceHandle::unheard();
    (Door { token: Pii::new(TOKEN.to_owned()), words: words(), me: me(), workspace }, kept)
}

fn webhook_body() -> Value {
    json!({
        "token": TOKEN, "bot": false, "trigger_word": "!dialin", "channel_id": "GENERAL", "channel_name": "general",
        "message_id": "m1", "timestamp": "2026-11-21T00:00:00.000Z", "user_id": "u1", "user_name": "ana", "text": "!dialin",
        "siteUrl": "https://chat.test",
    })
}

#[test]
fn a_webhook_without_the_token_opens_nothing() {
    let (door, _kept) = door();
    let mut rng = Rng::from_number(74);
    let body = webhook_body().to_string();
    let (mut asks, mut refused) = (0_u32, 0_u32);
    for _ in 0..mutations() {
        let text = mutated(&body, &mut rng);
        match webhook::read(text.as_bytes(), &door) {
            Ok(ask) => {
                assert!(text.contains(TOKEN), "let in without the token: {text}");
                asks += u32::from(ask.is_some());
            }
            Err(webhook::NoToken) => refused += 1,
        }
    }
    assert!(asks > 0 && refused > 0, "{asks} {refused}");
}

#[test]
fn a_webhook_tells_who_asks_what() {
    let (door, _kept) = door();
    let read = |change: &dyn Fn(&mut Value)| {
        let mut body = webhook_body();
        change(&mut body);
        webhook::read(body.to_string().as_bytes(), &door)
    };
    let ask = read(&|_| {}).expect("the token is good").expect("the word is ours");
    assert_eq!((ask.room.as_str(), ask.user.as_str(), ask.direct), ("GENERAL", "u1", false));
    assert_eq!(
        read(&|body| body["token"] = json!("sixteen-letters-of-a-tokem")),
        Err(webhook::NoToken)
    );
    assert_eq!(read(&|body| body["token"] = json!(null)), Err(webhook::NoToken));
    let silent: [&dyn Fn(&mut Value); 5] = [
        &|body| body["bot"] = json!(true),
        &|body| body["isEdited"] = json!(true),
        &|body| body["text"] = json!("hello"),
        &|body| body["user_id"] = json!("dialinbotdialinbo"),
        &|body| body["text"] = json!(""),
    ];
    for change in silent {
        assert_eq!(read(change), Ok(None));
    }
}
