//! From the chat to the voice, as `make demo-dialin` shows it: a call starts in a stand-in Rocket.Chat, its reply has
//! number and PIN, a telephone behind a real Asterisk types that PIN and talks with the meeting over a real Prosody
//! (focus, bridge and browser are a stand-in on aiortc), the meeting ends, the PIN with it. While the gateway makes
//! sure that it is over, people ask to be called into others.
//!
//! Each step is printed with its time; speech is judged as sound.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use gateway_core::media::clip::prompt::PromptId;
use gateway_core::media::clip::{ClipLibrary, Language};
use gateway_core::media::frame::SampleRate;
use gateway_tests_peers::asterisk::{Act, Exchange, Flavour, PhoneCall, Recording};
use gateway_tests_peers::focus::Focus;
use gateway_tests_peers::gateway::{self, Gateway};
use gateway_tests_peers::process::{last_lines, wait_until};
use gateway_tests_peers::prosody::{ANONYMOUS, C2S_PORT, FOCUS, Prosody, ROOMS};
use gateway_tests_peers::require::{Peer, all_there};
use gateway_tests_peers::rocketchat::{BOT, BOT_TOKEN, CHAT_PORT, EVE, Standin, links_of, text};
use gateway_tests_peers::sound::{Heard, Searched, Speech, Wav, heard};
use gateway_tests_peers::world::{World, wall_clock};
use serde_json::{Value, json};

const FOLDER: &str = "WEEBEE_DEMO_FOLDER";
/// Set by `make demo-dialin`: who wants to see it is not served by a skip.
const WANTED: &str = "WEEBEE_DEMO";
/// Towards the bridge: aiortc, as bridges do, ignores loopback.
const ADDRESS: &str = "10.99.0.1";
/// Seconds of what is said on the telephone, and of what alice repeats.
const SENTENCES: [f64; 2] = [3.4, 2.6];
/// As docs/rocketchat.md promises.
const REPLY_WITHIN: Duration = Duration::from_secs(2);
/// Calls of one kind at most: a machine that does other things may disturb one, not each.
const ATTEMPTS_MAX: usize = 3;
const CORRELATION_MIN: f64 = 0.9;
const LEVEL_OFF_MAX_DB: f64 = 2.0;
/// Whom the gateway calls, and a number that no telephone has.
const NUMBERS: [&str; 2] = ["+62215550100", "+62215550999"];

#[test]
fn a_meeting_of_the_chat_is_joined_by_telephone() {
    let peers = [
        Peer::Prosody,
        Peer::RocketChatOracles,
        Peer::Aiortc,
        Peer::Asterisk16,
        Peer::Asterisk22,
        Peer::Speech,
    ];
    if !all_there("a_meeting_of_the_chat_is_joined_by_telephone", &peers) {
        assert!(std::env::var_os(WANTED).is_none(), "the demo needs all of them");
        return;
    }
    println!(
        "\nDial-in, from the chat to the voice. {}",
        peers.map(|it| format!("{it:?} {}", it.version())).join(", ")
    );
    let world = World::new("demo");
    let address = format!("{ADDRESS}/24");
    let added = world.command("ip").args(["addr", "add", &address, "dev", "lo"]).status();
    assert!(added.expect("ip runs").success());
    world.run_inside("inside", FOLDER, &[("WEEBEE_BIN", gateway::binary().as_os_str())]);
}

#[test]
#[ignore = "runs inside the namespace that the test above makes"]
fn inside() {
    let folder = PathBuf::from(std::env::var_os(FOLDER).expect("started by the test above"));
    let mut stage = Stage::start(World::here(folder));
    let (call, pin) = stage.a_meeting_gets_its_pin();
    stage.a_telephone_joins(&pin);
    stage.everybody_leaves();
    stage.polite_noes_and_calls_out();
    stage.the_reply_closes(&call);
    stage.the_pin_is_dead(&call, &pin);
    stage.nothing_else_was_wrong(&pin);
}

/// Everything that runs.
struct Stage {
    began: Instant,
    chat: Standin,
    focus: Focus,
    sixteen: Exchange,
    twenty_two: Exchange,
    gateway: Gateway,
    /// The telephone's and alice's.
    voices: [Speech; 2],
    /// Calls so far.
    calls: usize,
    _prosody: Prosody,
    world: World,
}

/// Both directions of a talk.
struct Talk {
    in_the_meeting: Option<Heard>,
    on_the_telephone: Option<Heard>,
}

impl Stage {
    fn start(world: World) -> Self {
        let folder = world.folder().to_path_buf();
        let voices = [0, 1].map(|number| {
            let name = format!("voice{number}");
            Speech::spoken(&folder, &name, number, SENTENCES[number])
        });
        let prosody = Prosody::start(&folder);
        let chat = Standin::start(&folder, "8");
        let mut focus = Focus::start(&folder, &folder.join("voice1.wav"));
        focus.wait_for("ready", 15);
        std::fs::create_dir_all(folder.join("weebee")).expect("a folder");
        std::fs::write(folder.join("weebee/chat.token"), BOT_TOKEN).expect("a token");
        let rtp = format!("conference = \"{ADDRESS}\"");
        let pin = "file = \"pins.sqlite\"\ngrace_min = 0";
        let gateway = Gateway::start_with(&world, &rtp, pin, &settings(&prosody.authority()));
        let exchange = |flavour| Exchange::start(&world, flavour, Gateway::address(), None);
        let (sixteen, twenty_two) = (exchange(Flavour::Sixteen), exchange(Flavour::TwentyTwo));
        sixteen.learn_sound("sentence", &voices[0].wav);
        twenty_two.learn_sound("sentence", &voices[0].wav);
        chat.wait_for_streams(2);
        let began = Instant::now();
        Self {
            began,
            chat,
            focus,
            sixteen,
            twenty_two,
            gateway,
            voices,
            calls: 0,
            _prosody: prosody,
            world,
        }
    }

    fn tell(&self, what: &str) {
        println!("{:>7} ms  {what}", self.began.elapsed().as_millis());
    }

    fn fail(&self, what: &str) -> ! {
        panic!("{what}; weebee says:\n{}", last_lines(&self.gateway.log(), 40))
    }

    /// A call of the chat and its PIN; alice is in its Jitsi room.
    fn a_meeting_gets_its_pin(&mut self) -> (Value, String) {
        for attempt in 1.. {
            self.began = Instant::now();
            let call = self.start_call("RocketChat");
            let reply = wait_until(Duration::from_secs(10), || self.chat.reply_to(&call));
            let took = self.began.elapsed();
            let Some(reply) = reply else { self.fail("no reply under the call") };
            self.tell("reply under the call: number, PIN and a link that dials both");
            if took >= REPLY_WITHIN && attempt < ATTEMPTS_MAX {
                println!("    late: another call");
                continue;
            }
            assert!(took < REPLY_WITHIN, "the reply took {took:?}");
            let links = links_of(&reply);
            let pin = links
                .first()
                .and_then(|link| link.strip_prefix("tel:+622112345678,")?.strip_suffix("%23"));
            let pin = pin.unwrap_or_else(|| panic!("a link that dials: {links:?}")).to_owned();
            return (call, pin);
        }
        unreachable!("the loop returns or fails")
    }

    fn start_call(&mut self, prefix: &str) -> Value {
        let call = self.chat.post("start", &json!({ "prefix": prefix }));
        let room = format!("{}{}@{ROOMS}", prefix.to_lowercase(), text(&call, "_id"));
        self.tell("ana starts a call in the chat; alice is in its Jitsi room");
        self.focus.tell(&json!({ "do": "enter", "room": room }));
        call
    }

    fn a_telephone_joins(&mut self, pin: &str) {
        self.until_it_sounds(|stage| {
            let start = wall_clock() + 0.3;
            let call = PhoneCall {
                id: format!("call{}", stage.calls),
                number: "pin".into(),
                codec: "alaw",
                acts: vec![
                    (start + 1.5, Act::Keys(format!("{pin}#"))),
                    (start + 9.0, Act::Say("sentence".into())),
                ],
                ends_at: start + 14.0,
            };
            let answered = stage.answered();
            stage.sixteen.place(std::slice::from_ref(&call));
            stage.tell("telephone behind Asterisk 16: Dial(SIP/weebee/pin)");
            let is_answered = || (stage.answered() > answered).then_some(());
            if wait_until(Duration::from_secs(5), is_answered).is_none() {
                stage.fail("the call is not answered");
            }
            stage.tell("the gateway answers and asks for the PIN");
            sleep_until(start + 1.5);
            stage.tell("the PIN is typed: ten keys by DTMF, during the words");
            stage.talk(Flavour::Sixteen, &call)
        });
    }

    /// From the Jitsi room to the end of the call.
    fn talk(&mut self, flavour: Flavour, call: &PhoneCall) -> Talk {
        let occupant = self.focus.wait_for("occupant", 20);
        let is_phone =
            occupant["features"].to_string().contains("http://jitsi.org/protocol/jigasi");
        assert!(is_phone, "{occupant}");
        self.tell("the telephone is in the Jitsi room");
        let ssrc = self.focus.wait_for("accepted", 10)["ssrc"].clone();
        self.focus.wait_for_fact("connection", "state", "connected");
        self.tell("keys are agreed with the bridge: both can speak");
        self.focus.wait_for("heard", 15);
        self.tell("the first sound of the telephone is in the meeting");
        sleep_until(call.ends_at);
        self.focus.wait_for("left", 10);
        self.tell("the telephone hangs up and has left");
        let exchange = self.exchange(flavour);
        let finished = || {
            exchange
                .recording(&call.id)
                .filter(|it| it.starts_at + it.heard.seconds() > call.ends_at - 1.0)
        };
        let Some(Recording { heard: on_telephone, .. }) =
            wait_until(Duration::from_secs(5), finished)
        else {
            self.fail("the telephone has no recording")
        };
        // Before it is greeting and PIN, and the room lower while words are spoken over it. Alice repeats herself: in twice her
        // sentence there is a whole one.
        let end = on_telephone.seconds();
        let talked = Searched { from: end - 2.0 * SENTENCES[1] - 0.4, to: end };
        let on_the_telephone = heard(&on_telephone, talked, &self.voices[1].wav);
        // The file begins with the first packet, which may be a moment after the first of the speech.
        let in_the_meeting = self.focus.heard(&ssrc).and_then(|wav| {
            let wav = Wav::silence(wav.rate, 0.5).then(&wav);
            heard(&wav, whole(&wav), &self.voices[0].wav)
        });
        Talk { in_the_meeting, on_the_telephone }
    }

    /// Calls until both have heard each other well.
    fn until_it_sounds(&mut self, mut call: impl FnMut(&mut Self) -> Talk) {
        for attempt in 1..=ATTEMPTS_MAX {
            self.calls += 1;
            self.focus.forget();
            let talk = call(self);
            let both = [
                ("the meeting heard the telephone", talk.in_the_meeting),
                ("the telephone heard the meeting", talk.on_the_telephone),
            ];
            for (what, heard) in &both {
                self.tell(&format!("{what}: {}", show(heard.as_ref())));
            }
            if both.iter().all(|(_, heard)| heard.as_ref().is_some_and(is_good)) {
                return;
            }
            assert!(attempt < ATTEMPTS_MAX, "not the speech that was spoken");
            println!("    disturbed: called again");
        }
    }

    fn everybody_leaves(&mut self) {
        self.focus.tell(&json!({ "do": "leave" }));
        self.tell("alice leaves, too: the meeting is over");
    }

    fn polite_noes_and_calls_out(&mut self) {
        self.start_call("RocketChat");
        self.is_told("ana", "!callme +1 900 555 0100", "may not call that number");
        self.is_told("eve", "!callme +62 21 5550100", "You may not");
        let before = self.calls;
        self.is_called(Flavour::TwentyTwo, "!callme");
        // Three an hour, and five questions a minute.
        for _ in self.calls - before..3 {
            self.is_told("ana", &format!("!callme {}", NUMBERS[1]), "will ring");
        }
        self.is_told("ana", &format!("!callme {}", NUMBERS[0]), "a lot of questions");
        self.everybody_leaves();
        self.start_call("Sixteen");
        self.is_called(Flavour::Sixteen, "!callme16");
        self.everybody_leaves();
    }

    /// `user` writes it in the room and is answered alone.
    fn is_told(&mut self, user: &str, words: &str, wanted: &str) {
        let before = self.chat.private(user).len();
        let id = if user == "eve" { EVE } else { "anaanaanaanaanaan" };
        self.chat.post("say", &json!({ "user": id, "msg": words }));
        let told =
            wait_until(Duration::from_secs(10), || self.chat.private(user).get(before).cloned());
        assert!(told.as_ref().is_some_and(|told| told.contains(wanted)), "{words}: {told:?}");
        self.tell(&format!(
            "{user} writes {words:?} and is told alone: {:?}",
            told.unwrap_or_default()
        ));
    }

    fn is_called(&mut self, flavour: Flavour, word: &str) {
        self.until_it_sounds(|stage| {
            let speaks_at = wall_clock() + 4.5;
            let call = PhoneCall {
                id: format!("call{}", stage.calls),
                number: NUMBERS[0].into(),
                codec: "alaw",
                acts: vec![(speaks_at, Act::Say("sentence".into()))],
                ends_at: speaks_at + 4.0,
            };
            stage.exchange(flavour).expect(&call);
            stage.is_told("ana", &format!("{word} {}", NUMBERS[0]), "will ring");
            stage.tell(&format!(
                "{flavour:?}: the gateway calls; a telephone behind Asterisk answers"
            ));
            stage.talk(flavour, &call)
        });
    }

    fn the_reply_closes(&mut self, call: &Value) {
        let closed = || self.chat.reply_to(call).filter(|text| text.contains("is over"));
        if wait_until(Duration::from_secs(60), closed).is_none() {
            self.fail("the reply does not say that the meeting is over");
        }
        assert_eq!(self.chat.replies(call).len(), 1, "one reply");
        self.tell("the reply under the call says that the meeting is over");
    }

    fn the_pin_is_dead(&mut self, call: &Value, pin: &str) {
        let room = format!("rocketchat{}", text(call, "_id"));
        let is_over = || {
            let list = self.gateway.run(&self.world, &["pin", "list"]);
            let line = list.lines().find(|line| line.contains(&room)).map(str::to_owned);
            line.filter(|line| !line.contains(" live "))
        };
        if wait_until(Duration::from_secs(10), is_over).is_none() {
            self.fail("the registry still opens that room");
        }
        self.focus.forget();
        let start = wall_clock() + 0.3;
        let keys = Act::Keys(format!("{pin}#"));
        let again = PhoneCall {
            id: "dead".into(),
            number: "pin".into(),
            codec: "alaw",
            acts: vec![(start + 1.0, keys)],
            ends_at: start + 8.5,
        };
        self.sixteen.place(std::slice::from_ref(&again));
        self.tell("the PIN is typed once more, by another call");
        sleep_until(again.ends_at + 1.0);
        let recording = self.sixteen.recording("dead").expect("that call was answered");
        let library = ClipLibrary::embedded().expect("the built-in packs are whole");
        let clip = library.prompt(PromptId::PinWrong, Language::default());
        let words = Wav { rate: 8_000, samples: clip.samples(SampleRate::Hz8000) }.part(0.0, 1.5);
        let said = heard(&recording.heard, whole(&recording.heard), &words);
        self.tell(&format!("refused with words ({}): {}", PromptId::PinWrong, show(said.as_ref())));
        assert!(said.is_some_and(|it| it.correlation > 0.7), "no such words");
        assert!(self.focus.said("occupant").is_none(), "nobody comes in by a dead PIN");
    }

    fn nothing_else_was_wrong(&mut self, pin: &str) {
        self.chat.no_faults();
        let log = self.gateway.log();
        for secret in [pin, BOT_TOKEN, NUMBERS[0], NUMBERS[1]] {
            assert!(!log.contains(secret), "in the log: {secret}");
        }
        self.gateway.assert_alive();
        assert_eq!(self.sixteen.complaints(), Vec::<String>::new(), "Asterisk 16 complains");
        assert_eq!(self.twenty_two.complaints(), Vec::<String>::new(), "Asterisk 22 complains");
        self.tell("done");
    }

    fn exchange(&self, flavour: Flavour) -> &Exchange {
        match flavour {
            Flavour::Sixteen => &self.sixteen,
            Flavour::TwentyTwo => &self.twenty_two,
        }
    }

    fn answered(&self) -> usize {
        self.gateway.log().matches("answered call=").count()
    }
}

/// Two workspaces of one server: the second has the other exchange to call out by.
fn settings(authority: &Path) -> String {
    let (focus, ..) = FOCUS;
    let workspace = |name: &str, more: &str| {
        format!(
            "[[rocketchat]]\nname = \"{name}\"\nurl = \"http://127.0.0.1:{CHAT_PORT}\"\nuser_id = \"{BOT}\"\n\
             token_file = \"chat.token\"\nhosts = [\"meet.test\"]\nnumbers = [\"+62 21 1234 5678\"]\ncallme = true\n\
             callme_roles = [\"moderator\"]\ncallme_prefixes = [\"+62\"]\ncallme_per_user_h = 3\n{more}\n"
        )
    };
    let first = workspace("chat", "callme_trunk = \"asterisk22\"");
    let second = "callme_trunk = \"asterisk16\"\nprefix = \"Sixteen\"\nannounce = \"off\"\n\
                  command = \"!dialin16\"\ncallme_command = \"!callme16\"";
    let second = workspace("chat16", second);
    format!(
        "[[trunk]]\nname = \"asterisk16\"\nsources = [\"127.0.0.16\"]\npeer = \"127.0.0.16:5060\"\n\
         [[trunk]]\nname = \"asterisk22\"\nsources = [\"127.0.0.22\"]\npeer = \"127.0.0.22:5060\"\n\
         [[conference.jitsi]]\nname = \"meet\"\ndomain = \"{ANONYMOUS}\"\nrooms = \"{ROOMS}\"\nfocus = \"{focus}\"\n\
         xmpp = \"tcp:127.0.0.1:{C2S_PORT}\"\naccount = \"anonymous\"\nca_file = \"{}\"\n{first}{second}",
        authority.display()
    )
}

fn is_good(heard: &Heard) -> bool {
    heard.correlation > CORRELATION_MIN && heard.level_db.abs() < LEVEL_OFF_MAX_DB
}

fn show(heard: Option<&Heard>) -> String {
    heard.map_or_else(
        || "nothing".to_owned(),
        |it| format!("correlation {:.3}, level {:+.1} dB", it.correlation, it.level_db),
    )
}

fn whole(wav: &Wav) -> Searched {
    Searched { from: 0.0, to: wav.seconds() }
}

fn sleep_until(moment: f64) {
    std::thread::sleep(Duration::from_secs_f64((moment - wall_clock()).max(0.0)));
}
