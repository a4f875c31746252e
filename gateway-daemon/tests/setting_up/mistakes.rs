//! Mistakes people make when they set up dial-in, one at a time in a good configuration: `weebee check` and `weebee setup`
//! name each of them with the remedy, and the good configuration is good.

use crate::place::{GOOD, Place, Wrong, chat};

/// What stands in place of what, and what is said then.
const IN_THE_FILE: [(&str, &str, &str); 17] = [
    ("digits = 9", "digits = 5", "digits"),
    ("digits = 9", "digit = 9", "did you mean"),
    ("listen = \"127.0.0.1:0\"", "listen = \"\"", "write \"127.0.0.1:8788\" there"),
    ("backend = \"meet\"", "backend = \"mett\"", "mett"),
    (
        "backend = \"meet\"",
        "backend = \"room\"",
        "write backend = \"NAME\" of a [[conference.jitsi]]",
    ),
    ("backend = \"meet\"", "backend = \"meet\"\nmint = [\"cli\"]", "gives no PINs to \"page\""),
    ("room_size = \"http://127.0.0.1:5280/room-size\"", "", "Prosody's muc_size"),
    (
        "http://127.0.0.1:5280/room-size",
        "127.0.0.1:5280",
        "write \"http://127.0.0.1:5280/room-size\"",
    ),
    ("token_file = \"page.token\"", "token_file = \"gone.token\"", "umask 077; openssl rand"),
    ("token_file = \"page.token\"", "token_file = \"short.token\"", "shorter than 16 characters"),
    ("token_file = \"page.token\"", "token_file = \"open.token\"", "chmod 640"),
    ("country = \"ID\"", "country = \"Indonesia\"", "write two letters"),
    ("number = \"+62 21-555-0100\"", "number = \"conference\"", "write \"+62 21-555-0100\""),
    ("sources = [\"127.0.0.1\"]", "sources = [\"127.0.0.1.5\"]", "sources"),
    ("advertised = \"192.0.2.20\"", "advertised = \"0.0.0.0\"", "cannot be reached"),
    ("url = \"https://chat.test\"", "url = \"http://chat.test\"", "write https://"),
    (
        "numbers = [\"+62 21 1234 5678\"]",
        "callme = true\nnumbers = [\"+62 21 1234 5678\"]",
        "callme",
    ),
];

/// What Rocket.Chat answers in place of the good answer, and what is said then.
const IN_THE_CHAT: [Wrong; 9] = [
    (
        "me",
        401,
        r#"{"status":"error","message":"You must be logged in"}"#,
        "make a new personal access token",
    ),
    ("me", 400, r#"{"success":false,"errorType":"totp-required"}"#, "Ignore Two Factor"),
    (
        "me",
        200,
        r#"{"success":true,"_id":"somebodyelsesid00","username":"else"}"#,
        "belongs to another user",
    ),
    (
        "me",
        200,
        r#"{"success":true,"_id":"dialinbotdialinbo","username":"dialin","roles":["user"]}"#,
        "no role `bot`",
    ),
    ("me", 502, "Bad Gateway", "answers 502"),
    (
        "rooms.info",
        400,
        r#"{"success":false,"errorType":"error-room-not-found"}"#,
        "invite the bot there",
    ),
    (
        "video-conference.list",
        200,
        r#"{"success":true,"data":[]}"#,
        "start one with the call button",
    ),
    (
        "video-conference.list",
        200,
        r#"{"success":true,"data":[{"_id":"c","rid":"r","providerName":"bigbluebutton","url":"https://b.test/x"}]}"#,
        "choose Jitsi as provider",
    ),
    (
        "video-conference.list",
        200,
        r#"{"success":true,"data":[{"_id":"c","rid":"r","providerName":"jitsi","url":"https://meet.test/Other1"}]}"#,
        "write the prefix and suffix",
    ),
];

#[test]
fn check_names_each_mistake_of_a_file() {
    let place = Place::new("mistakes-file");
    let good = place.run(GOOD, &["check"]);
    assert!(good.starts_with("0:") && !good.contains("warning"), "{good}");
    let missed = IN_THE_FILE.iter().filter_map(|(right, wrong, said)| {
        assert!(GOOD.contains(right), "{right}");
        let text = place.run(&GOOD.replacen(right, wrong, 1), &["check"]);
        (!text.contains(said)).then(|| format!("{wrong:?} should say {said:?}:\n{text}"))
    });
    let missed: Vec<String> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn setup_names_each_mistake_of_a_workspace() {
    let place = Place::new("mistakes-chat");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let setup = |wrong| {
        let address = runtime.block_on(chat(wrong));
        let config = GOOD.replace("https://chat.test", &address);
        place.run(&config, &["setup", "rocketchat", "--room", "general"])
    };
    let good = setup(None);
    assert!(good.starts_with("0:") && good.contains("our host and prefix"), "{good}");
    let missed = IN_THE_CHAT.into_iter().filter_map(|mistake| {
        let text = setup(Some(mistake));
        (!text.contains(mistake.3)).then(|| format!("{mistake:?}:\n{text}"))
    });
    let missed: Vec<String> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
