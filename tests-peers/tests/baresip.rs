//! baresip dials the gateway directly, in each codec, and talks with a `weebee call` in the room.

use std::time::Duration;

use gateway_tests_peers::baresip::{Baresip, CODECS, Codec};
use gateway_tests_peers::gateway::{Gateway, TestPhone};
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sound::{Heard, Searched, Speech, Wav, heard, leakage_db};
use gateway_tests_peers::table::{Row, Table};
use gateway_tests_peers::world::World;

const SENTENCE: f64 = 3.4;
/// Seconds after the answer at which baresip and the other speak.
const SPEAKS_AT: [f64; 2] = [14.0, 20.0];
const END: u32 = 26;
/// Half a minute each.
const PLAYS_MAX: usize = 4;

#[test]
fn baresip_and_a_second_caller_hear_each_other() {
    if !require::all_there("baresip", &[Peer::Baresip, Peer::Speech]) {
        return;
    }
    let world = World::new("baresip");
    let mut gateway = Gateway::start(
        &world,
        "[[trunk]]\nname = \"phones\"\nsources = [\"192.0.2.0/24\", \"127.0.0.1\"]\n",
    );
    let speeches = [0, 1].map(|number| {
        Speech::spoken(world.folder(), &format!("speaker{number}"), number, SENTENCE)
    });
    // Eight phones, a debug gateway and whatever else runs share the machine.
    let left =
        Table::played_until_heard(PLAYS_MAX, |number| play(&world, &gateway, &speeches, number));
    gateway.assert_alive();
    assert_eq!(left.faults(), Vec::<String>::new());
}

/// All rooms once.
fn play(world: &World, gateway: &Gateway, speeches: &[Speech; 2], play: usize) -> Table {
    let rows = std::thread::scope(|scope| {
        let rooms: Vec<_> = CODECS
            .iter()
            .enumerate()
            .map(|(number, codec)| {
                scope.spawn(move || room(world, gateway, (play, number), *codec, speeches))
            })
            .collect();
        rooms.into_iter().flat_map(|room| room.join().expect("a room ends")).collect()
    });
    let table = Table { rows };
    println!("\nbaresip {}\n{table}", Peer::Baresip.version());
    table
}

fn room(
    world: &World,
    gateway: &Gateway,
    (play, number): (usize, usize),
    codec: Codec,
    speeches: &[Speech; 2],
) -> Vec<Row> {
    let pin = gateway.pin(world, &format!("baresip {play} {number}"));
    let other_codec = ["opus", "g722", "pcma", "pcmu"][number];
    let names = [format!("baresip ({})", codec.name), format!("weebee call ({other_codec})")];
    let [own, other] = [0, 1].map(|speaker: usize| {
        Wav::silence(16_000, SPEAKS_AT[speaker])
            .then(&speeches[speaker].wav)
            .then(&Wav::silence(16_000, 30.0))
    });
    let mut phone = Baresip::start(world, number as u16, codec, &own);
    let mut second =
        TestPhone::call(world, &format!("b{play}{number}"), other_codec, &pin, &other, END);
    if !phone.dial(world, "sip:pin@127.0.0.1:5060") {
        let faults = vec![format!("no answer: {}", phone.output())];
        return vec![row(&names, 0, None, 0.0, faults)];
    }
    std::thread::sleep(Duration::from_secs(1));
    phone.type_keys(world, &format!("{pin}#"));
    let flowed = second.finish(Duration::from_secs(u64::from(END) + 10));
    phone.hang_up(world);
    let (Some(baresip_heard), Some((second_heard, _))) = (phone.heard(), second.recording()) else {
        return vec![row(&names, 0, None, 0.0, vec!["a recording is missing".into()])];
    };
    let said_at = phone.said().and_then(|said| {
        heard(&said, Searched { from: 0.0, to: said.seconds() }, &speeches[0].wav)
            .map(|found| found.starts_at)
    });
    let own_at = said_at.unwrap_or(SPEAKS_AT[0]);
    let near = |moment: f64| Searched { from: moment - 0.5, to: moment + SENTENCE + 1.5 };
    let own_voice = [
        leakage_db(&baresip_heard, near(own_at), &speeches[0].wav),
        leakage_db(&second_heard, near(SPEAKS_AT[1]), &speeches[1].wav),
    ];
    let mut faults = Vec::new();
    if !flowed {
        faults.push(format!("weebee call was not content: {}", second.output()));
    }
    vec![
        row(
            &names,
            0,
            heard(&second_heard, whole(&second_heard), &speeches[0].wav),
            own_voice[1],
            faults,
        ),
        row(
            &names,
            1,
            heard(&baresip_heard, whole(&baresip_heard), &speeches[1].wav),
            own_voice[0],
            Vec::new(),
        ),
    ]
}

fn whole(wav: &Wav) -> Searched {
    Searched { from: 0.0, to: wav.seconds() }
}

fn row(
    names: &[String; 2],
    speaker: usize,
    found: Option<Heard>,
    own_voice_db: f64,
    faults: Vec<String>,
) -> Row {
    let both = [speaker, 1 - speaker].map(|number| names[number].as_str());
    Row::judged(both, found, None, own_voice_db, faults)
}
