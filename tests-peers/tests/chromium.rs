//! Real Chromium in the embedded room: it joins by the page with a microphone that speaks, a phone is there, both hear each
//! other, judged as sound; the roster shows the phone and who speaks; mute in the page silences it for the phone; closing
//! the tab and killing the browser take the member out.

use std::time::Duration;

use gateway_tests_peers::chromium::{Chromium, Page, Recording, ear};
use gateway_tests_peers::gateway::{Gateway, TestPhone};
use gateway_tests_peers::process::wait_until;
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sound::{Heard, Searched, Speech, Wav, heard, leakage_db, level_dbfs};
use gateway_tests_peers::table::{Row, Table};
use gateway_tests_peers::world::{World, wall_clock};

const SENTENCE: f64 = 2.6;
/// Each says his sentence once in so many seconds, and neither while the other does.
const PERIOD: f64 = 8.0;
/// How long the phone's call lasts, from the answer.
const PHONE_SECONDS: u32 = 56;
/// From the start of the phone's program to its answer, about.
const ANSWER_AFTER: f64 = 1.2;
const SETTINGS: &str = "[[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n\
     [browser]\nenabled = true\ndial_in = \"sip:pin@127.0.0.1\"\n";
const STATUS: &str = "document.getElementById('status').textContent";
const PEOPLE: &str = "document.getElementById('people').innerText";
const INSIDE: &str = "document.getElementById('status').textContent === 'You are in the room.'";

/// A minute each.
const PLAYS_MAX: usize = 4;

#[test]
fn a_browser_and_a_phone_talk_in_a_room() {
    if !require::all_there("chromium", &[Peer::Chromium, Peer::Speech]) {
        return;
    }
    let world = World::new("chromium");
    let mut gateway = Gateway::start(&world, SETTINGS);
    let (pin, link) = (gateway.pin(&world, "tea"), gateway.link(&world, "tea"));
    let speeches = [0, 1].map(|number| {
        Speech::spoken(world.folder(), &format!("speaker{number}"), number, SENTENCE).wav
    });
    let microphone = world.folder().join("microphone.wav");
    let spoken = again_and_again(&speeches[0], PERIOD, 1);
    spoken.write(&microphone).expect("what the browser says");
    let mut chromium = Chromium::start(&world, "chromium", Some(&microphone));
    let stage = Stage { world: &world, gateway: &gateway, speeches, pin, link: &link };
    // A browser, a debug gateway and whatever else runs share the machine.
    let left = Table::played_until_heard(PLAYS_MAX, |play| stage.conversation(&mut chromium, play));
    gateway.assert_alive();
    assert_eq!(left.faults(), Vec::<String>::new());
    a_browser_that_dies_is_taken_out(&world, &mut gateway, chromium, &link);
}

/// What a conversation needs.
struct Stage<'a> {
    world: &'a World,
    gateway: &'a Gateway,
    /// The browser's sentence and the phone's.
    speeches: [Wav; 2],
    pin: String,
    link: &'a str,
}

impl Stage<'_> {
    /// Ann joins by browser, a phone comes, both speak; she mutes and unmutes herself and closes the tab.
    fn conversation(&self, chromium: &mut Chromium, play: usize) -> Table {
        let page = join(chromium, self.link, "Ann");
        let (mut phone, lead) = self.phone_comes(chromium, &page, play);
        chromium.wait_for(&page, &shows("phone"), Duration::from_secs(20), PEOPLE);
        let joined = wall_clock();
        let two = "document.querySelectorAll('#people li').length === 2";
        for who in [&shows("Ann (you)"), two, &speaks("Ann (you)"), &speaks("Phone caller")] {
            chromium.wait_for(&page, who, Duration::from_secs(8), PEOPLE);
        }
        wait_until_wall(joined + 2.0 * PERIOD + 1.0);
        chromium.evaluate(&page, "document.getElementById('mute').click()");
        let muted = wall_clock();
        let pressed = "document.getElementById('mute').getAttribute('aria-pressed') === 'true'";
        chromium.wait_for(&page, pressed, Duration::from_secs(1), STATUS);
        chromium.wait_for(&page, &shows("muted"), Duration::from_secs(3), PEOPLE);
        wait_until_wall(muted + PERIOD + 1.0);
        chromium.evaluate(&page, "document.getElementById('mute').click()");
        let unmuted = wall_clock();
        wait_until_wall(unmuted + PERIOD + SENTENCE + 1.0);
        let browser = ["microphone", "ear"].map(|name| {
            let recording = chromium.recorded(&page, name).expect("it was there all the time");
            let file = self.world.folder().join(format!("browser{play}-{name}.wav"));
            recording.wav.write(&file).expect("kept for people");
            recording
        });
        let closed = self.close_the_tab(chromium, page);
        assert!(phone.finish(Duration::from_secs(30)), "{}", phone.output());
        let (wav, began) = phone.recording().expect("what the phone heard");
        let phone_heard = Recording { wav, began };
        let times = Times { joined, muted, unmuted, closed, phone_said: began + lead };
        let table = Table { rows: judge(&times, &self.speeches, &browser, &phone_heard) };
        println!("\nChromium {}\n{table}", Peer::Chromium.version());
        self.gateway.wait_call_records(2 * play, Duration::from_secs(5));
        table
    }

    /// The phone calls, to speak half a period after the browser. Gives it and the pause before its first sentence.
    fn phone_comes(&self, chromium: &mut Chromium, page: &Page, play: usize) -> (TestPhone, f64) {
        let began = "window.recordedFrom('microphone')";
        chromium.wait_for(page, &format!("{began} > 0"), Duration::from_secs(3), STATUS);
        let browser_began = chromium.evaluate(page, began).as_f64().expect("a time");
        let answer_at = wall_clock() + ANSWER_AFTER;
        let lead = (browser_began + PERIOD / 2.0 - answer_at).rem_euclid(PERIOD);
        let times = PHONE_SECONDS as usize / PERIOD as usize;
        let said = again_and_again(&self.speeches[1], PERIOD, times);
        let said = Wav::silence(said.rate, lead).then(&said);
        let id = format!("p{play}");
        (TestPhone::call(self.world, &id, "pcma", &self.pin, &said, PHONE_SECONDS), lead)
    }

    /// A tab that is closed ends its call at once. Gives when it was.
    fn close_the_tab(&self, chromium: &mut Chromium, page: Page) -> f64 {
        let browsers = || {
            let mut records = self.gateway.call_records();
            records.retain(|record| record["trunk"] == "browser");
            records
        };
        let before = browsers().len();
        let closed = wall_clock();
        chromium.close(page);
        let record = wait_until(Duration::from_secs(4), || browsers().get(before).cloned());
        let record = record.expect("closing the tab ends the call");
        println!("closing the tab: record after {:.1} s", wall_clock() - closed);
        let [reason, room, codec] = ["reason", "room", "codec"].map(|key| record[key].as_str());
        assert_eq!(reason, Some("caller_hung_up"));
        assert_eq!((room, codec), (Some("tea"), Some("opus")));
        closed
    }
}

/// Who kills a browser gets no goodbye: consent is lost.
fn a_browser_that_dies_is_taken_out(
    world: &World,
    gateway: &mut Gateway,
    mut chromium: Chromium,
    link: &str,
) {
    let before = gateway.call_records().len();
    let _page = join(&mut chromium, link, "Bob");
    chromium.kill();
    let killed = wall_clock();
    let records = gateway.wait_call_records(before + 1, Duration::from_secs(30));
    let record = records.last().expect("a record");
    println!("killing the browser: {} after {:.1} s", record["reason"], wall_clock() - killed);
    assert_eq!(records.len(), before + 1, "the member is out within 30 s");
    assert_eq!((&record["trunk"], &record["reason"]), (&"browser".into(), &"peer_gone".into()));
    refusals(world, gateway, link);
}

/// A link that is cut short opens nothing, in words. Who refuses the microphone is told so, and may listen.
fn refusals(world: &World, gateway: &mut Gateway, link: &str) {
    // Without a microphone Chromium shows no address but that of the way out: there must be one, and it leads nowhere.
    for words in [
        "link add way0 type veth peer name way1",
        "addr add 10.98.0.1/24 dev way0",
        "link set way0 up",
        "link set way1 up",
        "route add default via 10.98.0.2 dev way0",
    ] {
        let done = world.command("ip").args(words.split(' ')).status();
        assert!(done.is_ok_and(|status| status.success()), "ip {words}");
    }
    let mut chromium = Chromium::start(world, "refused", None);
    for (link, words) in [
        (link, "The microphone was refused"),
        (link.split('#').next().expect("a link"), "the part behind # is missing"),
    ] {
        let page = chromium.open(link, &ear());
        chromium.evaluate(&page, "document.getElementById('join').click()");
        let says = format!("{STATUS}.includes({words:?})");
        chromium.wait_for(&page, &says, Duration::from_secs(5), STATUS);
        let again = "!document.getElementById('join').disabled";
        chromium.wait_for(&page, again, Duration::from_secs(2), STATUS);
        chromium.close(page);
    }
    let page = chromium.open(&link[..link.len() - 1], &ear());
    let visible = "!document.getElementById('listen').hidden";
    chromium.evaluate(&page, "document.getElementById('join').click()");
    chromium.wait_for(&page, visible, Duration::from_secs(5), STATUS);
    chromium.evaluate(&page, "document.getElementById('listen').click()");
    let wrong = format!("{STATUS}.includes('this link does not open the room')");
    chromium.wait_for(&page, &wrong, Duration::from_secs(5), STATUS);
    chromium.close(page);
    let page = chromium.open(link, &ear());
    chromium.evaluate(&page, "document.getElementById('join').click()");
    chromium.wait_for(&page, visible, Duration::from_secs(5), STATUS);
    chromium.evaluate(&page, "document.getElementById('listen').click()");
    let listens = format!("{STATUS}.includes('can listen')");
    chromium.wait_for(&page, &listens, Duration::from_secs(10), STATUS);
    chromium.wait_for(&page, &shows("(you)"), Duration::from_secs(3), PEOPLE);
    assert_eq!(chromium.evaluate(&page, "document.getElementById('mute').hidden"), true);
    chromium.close(page);
    // No secret of a link is in the log.
    let pass = link.split('#').nth(1).expect("a pass");
    assert!(!gateway.log().contains(pass.rsplit('-').next().expect("a seal")));
}

fn join(chromium: &mut Chromium, link: &str, name: &str) -> Page {
    let page = chromium.open(link, &ear());
    let fill = format!("document.getElementById('name').value = {name:?}");
    chromium.evaluate(&page, &fill);
    chromium.evaluate(&page, "document.getElementById('join').click()");
    chromium.wait_for(&page, INSIDE, Duration::from_secs(15), STATUS);
    page
}

/// Wall clock of what happened.
struct Times {
    joined: f64,
    muted: f64,
    unmuted: f64,
    closed: f64,
    /// The phone's first sentence.
    phone_said: f64,
}

fn judge(
    times: &Times,
    speeches: &[Wav; 2],
    [browser_said, browser_heard]: &[Recording; 2],
    phone_heard: &Recording,
) -> Vec<Row> {
    let both = (times.joined + 1.0, times.muted - 0.2);
    let at_phone = find(phone_heard, both, &speeches[0]);
    let at_browser = find(browser_heard, both, &speeches[1]);
    let at_microphone = find(browser_said, both, &speeches[0]);
    let delays = [
        delay_ms(at_microphone.map(|found| found.starts_at), at_phone.map(|found| found.starts_at)),
        delay_ms(Some(times.phone_said), at_browser.map(|found| found.starts_at)),
    ];
    // While one speaks the other is silent: what is there of the own voice is an echo.
    let sentence_at = |first: f64| {
        let from = both.0 + (first - both.0).rem_euclid(PERIOD);
        (from, from + SENTENCE + 0.3)
    };
    let spoken = at_microphone.map_or(browser_said.began, |found| found.starts_at);
    let own =
        [(browser_heard, spoken, &speeches[0]), (phone_heard, times.phone_said, &speeches[1])]
            .map(|(ear, at, speech)| leakage_db(&ear.wav, window(ear, sentence_at(at)), speech));
    let silent = (times.muted + 1.0, times.unmuted - 0.2);
    let muted = [
        level_dbfs(&phone_heard.wav, window(phone_heard, silent)),
        leakage_db(&phone_heard.wav, window(phone_heard, silent), &speeches[0]),
    ];
    println!("while muted the phone hears {:.0} dBFS, of the speech {:.0} dB", muted[0], muted[1]);
    let after = find(phone_heard, (times.unmuted + 0.5, times.closed - 0.2), &speeches[0]);
    let mut mute_faults = Vec::new();
    if muted[0] > -60.0 {
        mute_faults.push(format!("muted, and the phone hears {:.0} dBFS", muted[0]));
    }
    let names = ["Chromium (opus)", "weebee call (pcma)"];
    vec![
        Row::judged([names[0], names[1]], at_phone, delays[0], own[1], mute_faults),
        Row::judged([names[1], names[0]], at_browser, delays[1], own[0], Vec::new()),
        Row::judged(["Chromium, unmuted again", names[1]], after, None, own[1], Vec::new()),
    ]
}

/// Where a sentence is heard between two moments of the wall clock; `starts_at` is on the wall clock, too.
fn find(recording: &Recording, between: (f64, f64), speech: &Wav) -> Option<Heard> {
    let found = heard(&recording.wav, window(recording, between), speech)?;
    Some(Heard { starts_at: found.starts_at + recording.began, ..found })
}

fn window(recording: &Recording, (from, to): (f64, f64)) -> Searched {
    Searched { from: from - recording.began, to: to - recording.began }
}

/// Each sentence is said once in a period: which one was found does not matter.
fn delay_ms(said: Option<f64>, heard: Option<f64>) -> Option<f64> {
    Some((heard? - said?).rem_euclid(PERIOD) * 1_000.0)
}

/// The sentence and a pause, so many times.
fn again_and_again(speech: &Wav, period: f64, times: usize) -> Wav {
    let pause = Wav::silence(speech.rate, period - speech.seconds());
    let once = speech.clone().then(&pause);
    (0..times).fold(Wav::silence(speech.rate, 0.0), |all, _| all.then(&once))
}

fn shows(words: &str) -> String {
    format!("{PEOPLE}.includes({words:?})")
}

fn speaks(who: &str) -> String {
    format!(
        "[...document.querySelectorAll('#people li.speaks')].some((it) => it.innerText.includes({who:?}))"
    )
}

fn wait_until_wall(moment: f64) {
    let left = Duration::from_secs_f64((moment - wall_clock()).max(0.0));
    wait_until(left, || None::<()>);
}
