//! A workspace needs little, and each mistake in it is named with its remedy.

use std::path::Path;

use gateway_core::leg::backend::RoomName;

use super::{Config, Mistakes, parse};
use crate::testing::Folder;

const TOKEN: &str = "sixteen-letters-of-a-token";

/// A workspace with `keys` in place of, or beside, the good ones; `beside` is other sections.
fn parsed(keys: &str, beside: &str) -> Result<Config, Mistakes> {
    let folder = Folder::new("rocketchat-config");
    for file in ["chat.token", "hook.token"] {
        std::fs::write(folder.path().join(file), TOKEN).expect("a token");
    }
    std::fs::write(folder.path().join("short.token"), "short").expect("a token");
    let mut good = vec![
        ("name", "\"chat\""),
        ("url", "\"https://chat.test\""),
        ("user_id", "\"dialinbotdialinbo\""),
        ("token_file", "\"chat.token\""),
        ("numbers", "[\"+62 21 1234 5678\"]"),
    ];
    good.retain(|(key, _)| !keys.lines().any(|line| line.starts_with(&format!("{key} ="))));
    let good: String = good.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let text = format!(
        "[[trunk]]\nname = \"t\"\nsources = [\"127.0.0.1\"]\n[[conference.jitsi]]\nname = \"meet\"\ndomain = \"meet.test\"\n\
         [[rocketchat]]\n{good}{keys}{beside}"
    );
    parse("weebee.toml", &text, folder.path())
}

fn said(keys: &str, beside: &str) -> String {
    parsed(keys, beside).map_or_else(|mistakes| mistakes.to_string(), |_| "good".to_owned())
}

#[test]
fn a_workspace_needs_little() {
    let config = parsed("", "").expect("good");
    let chat = &config.rocketchat[0];
    assert_eq!(chat.token.reveal(), TOKEN);
    let origin = &chat.origin;
    assert_eq!((origin.hosts[0].as_str(), origin.prefix.as_str()), ("meet.test", "rocketchat"));
    assert!(chat.stream && chat.announce && chat.call_me.is_none() && chat.webhook_token.is_none());
    assert!(!format!("{config:?}").contains(TOKEN));
}

#[test]
fn rooms_of_its_calls_are_on_its_jitsi() {
    let backend = |beside: &str, room: &str| {
        let room = RoomName::new(room).expect("a name");
        parsed("", beside).expect("good").rooms.rules(&room).backend.clone()
    };
    let call = "RocketChat6657aabbcc0011223344556f";
    assert_eq!(backend("", call), "meet");
    let policy = "[[room_policy]]\nname = \"rocketchat*\"\nbackend = \"room\"\n";
    assert_eq!(backend(policy, call), "room");
    assert_eq!(backend("", "tea"), "room");
    let doubted = parsed("", policy).expect("good");
    let doubts = crate::check::doubts::doubts(&doubted, std::time::Duration::ZERO);
    assert!(doubts.iter().any(|it| it.text.contains("phones would be alone")), "{doubts:?}");
}

#[test]
fn each_mistake_is_named_with_its_remedy() {
    for (keys, wanted) in [
        ("url = \"chat.test\"\n", "write \"https://chat.example.org\""),
        ("token_file = \"\"\n", "add token_file or token_env"),
        ("token_file = \"nowhere\"\n", "nowhere"),
        ("user_id = \"\"\n", "is no id"),
        ("jitsi = \"other\"\n", "no [[conference.jitsi]] named \"other\""),
        ("hosts = [\"https://meet.test\"]\n", "is no host"),
        ("prefix = \"\"\n", "every room of that Jitsi"),
        ("prefix = \"a/b\"\n", "no room's name"),
        ("numbers = []\n", "the list is empty"),
        ("numbers = [\"call me\"]\n", "is no telephone number"),
        ("command = \"dialin\"\n", "nobody writes by chance"),
        ("command = \"!callme\"\n", "the same word"),
        ("listen = \"webhook\"\n", "add webhook_token_file"),
        ("webhook_token_file = \"short.token\"\n", "shorter than 16"),
        ("incoming_webhook_file = \"short.token\"\n", "no address of an incoming webhook"),
        ("callme = true\n", "there is no [[trunk]] named"),
        ("callme = true\ncallme_trunk = \"t\"\n", "has no `peer`"),
        ("callme = true\n", "which numbers may be called"),
        ("callme = true\ncallme_prefixes = [\"62\"]\n", "write + and digits"),
        ("ca_file = \"nowhere.pem\"\n", "nowhere.pem"),
        ("prefx = \"x\"\n", "did you mean prefix?"),
    ] {
        let said = said(keys, "");
        assert!(said.contains(wanted), "{keys}{said}");
        assert!(!said.contains(TOKEN), "{said}");
    }
    assert_eq!(said("webhook_token_file = \"hook.token\"\n", ""), "good");
}

#[test]
fn two_workspaces_share_a_jitsi_by_prefix() {
    let second = |name: &str, prefix: &str| {
        let more = format!(
            "[[rocketchat]]\nname = \"{name}\"\nurl = \"https://other.test\"\nuser_id = \"u\"\n\
             token_file = \"chat.token\"\nnumbers = [\"110\"]\nprefix = \"{prefix}\"\n"
        );
        said("", &more)
    };
    assert_eq!(second("other", "Beta"), "good");
    assert!(second("other", "rocketchat-two").contains("set another \"URL prefix\""));
    assert!(second("chat", "Beta").contains("has this name"));
}

#[test]
fn without_a_jitsi_or_with_two_the_owner_must_say_which() {
    let keys = "[[rocketchat]]\nname = \"chat\"\nurl = \"https://chat.test\"\nuser_id = \"u\"\n\
                token_env = \"PATH\"\nnumbers = [\"110\"]\n";
    let trunk = "[[trunk]]\nname = \"t\"\nsources = [\"127.0.0.1\"]\n";
    let jitsi =
        |name: &str| format!("[[conference.jitsi]]\nname = \"{name}\"\ndomain = \"{name}.test\"\n");
    let said = |jitsi: &str| {
        let done = parse("weebee.toml", &format!("{trunk}{jitsi}{keys}"), Path::new("."));
        done.map_or_else(|mistakes| mistakes.to_string(), |_| "good".to_owned())
    };
    assert!(said("").contains("there is no [[conference.jitsi]] for its calls"));
    assert_eq!(said(&jitsi("a")), "good");
    assert!(said(&format!("{}{}", jitsi("a"), jitsi("b"))).contains("which one?"));
}
