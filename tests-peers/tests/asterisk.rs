//! Two callers behind Asterisk 16 (chan_sip) and Asterisk 22 (PJSIP) and a third by `weebee call` meet in a room, for
//! every pair of codecs; each hears the others as they spoke, nobody hears himself, nothing is heard of a muted one.

use std::time::Duration;

use gateway_tests_peers::asterisk::{Act, Exchange, Flavour, Login, PhoneCall, Recording};
use gateway_tests_peers::gateway::{Gateway, TestPhone};
use gateway_tests_peers::require::{self, Peer};
use gateway_tests_peers::sound::{Heard, Searched, Speech, Wav, heard, leakage_db, level_dbfs};
use gateway_tests_peers::table::{Row, Table};
use gateway_tests_peers::world::{World, wall_clock};

const CODECS: [&str; 4] = ["ulaw", "alaw", "g722", "opus"];
/// Plays of one room at most: the fifth counts, whatever it shows. On a machine whose host takes the processor away for tens
/// of milliseconds even an old and proven build has every room disturbed at the first play.
const ATTEMPTS_MAX: usize = 5;
/// Rooms at once: 24 calls, which two cores carry with sound to spare.
const ROOMS_AT_ONCE: usize = 8;
/// Seconds of each sentence.
const SENTENCE: f64 = 3.4;

const CORRELATION_MIN: f64 = 0.95;
const LEVEL_OFF_MAX_DB: f64 = 1.0;
const DELAY_MAX_MS: f64 = 300.0;
/// What a caller may hear of himself. G.711's own noise in a silent room is some 60 dB below speech.
const OWN_VOICE_MAX_DB: f64 = -45.0;
/// How loud a room may be in which the only speaker is muted.
const MUTED_MAX_DBFS: f64 = -60.0;

const TRUNKS: &str = r#"
[[trunk]]
name = "asterisk16"
sources = ["127.0.0.16"]
[[trunk]]
name = "asterisk22"
sources = ["127.0.0.22"]
[[trunk]]
name = "phones"
sources = ["127.0.0.1"]
"#;

/// When things happen in a room, in seconds after the calls are placed.
mod at {
    pub const PIN: f64 = 2.0;
    /// The three sentences: Asterisk 16, Asterisk 22, `weebee call`. The third counts from its own start, which comes
    /// seconds late where sixteen begin at once.
    pub const SENTENCES: [f64; 3] = [12.0, 17.5, 23.0];
    /// The words that follow would be heard over a late third sentence.
    pub const MUTE: f64 = 36.0;
    pub const MUTED_SENTENCE: f64 = 40.5;
    pub const END: f64 = 45.5;
}

/// One pair of codecs in a room of its own.
#[derive(Clone, Copy, Debug)]
struct Room {
    number: usize,
    codec16: &'static str,
    codec22: &'static str,
    phone_codec: &'static str,
    /// Which of the two telephones mutes itself.
    muter: Flavour,
    attempt: usize,
}

struct Stage {
    world: World,
    gateway: Gateway,
    sixteen: Exchange,
    twenty_two: Exchange,
    speeches: [Speech; 3],
}

#[test]
fn callers_through_both_asterisks_hear_each_other_and_not_themselves() {
    let test = "callers_through_both_asterisks";
    if !require::all_there(test, &[Peer::Asterisk16, Peer::Asterisk22, Peer::Speech]) {
        return;
    }
    let mut stage = Stage::new("matrix");
    let mut rooms = chosen_rooms();
    let mut table = Table::default();
    // Twenty-four callers, two exchanges and a debug gateway share two cores: a room that was disturbed is played again
    // among fewer others. A real fault shows each time.
    for (attempt, at_once) in [ROOMS_AT_ONCE, ROOMS_AT_ONCE / 2, 2, 1, 1].into_iter().enumerate() {
        let last = attempt + 1 == ATTEMPTS_MAX;
        let mut again = Vec::new();
        for batch in rooms.chunks(at_once) {
            for (room, rows) in stage.play(batch) {
                if last || rows.iter().all(|row| row.faults.is_empty()) {
                    table.rows.extend(rows);
                } else {
                    eprintln!("room {} is tried again: {:?}", room.number, Table { rows }.faults());
                    again.push(Room { attempt: attempt + 2, ..room });
                }
            }
        }
        rooms = again;
    }
    println!(
        "\nAsterisk {} and {}\n{table}",
        Peer::Asterisk16.version(),
        Peer::Asterisk22.version()
    );
    stage.gateway.assert_alive();
    assert_eq!(stage.sixteen.complaints(), Vec::<String>::new(), "Asterisk 16 complains");
    assert_eq!(stage.twenty_two.complaints(), Vec::<String>::new(), "Asterisk 22 complains");
    assert_eq!(table.faults(), Vec::<String>::new());
}

#[test]
fn exchanges_prove_who_they_are_by_digest() {
    if !require::all_there("exchanges_prove_who_they_are", &[Peer::Asterisk16, Peer::Asterisk22]) {
        return;
    }
    let world = World::new("digest");
    let gateway = Gateway::start(
        &world,
        "[[trunk]]\nname = \"known\"\nsources = [\"127.0.0.16\", \"127.0.0.22\"]\n\
         users = [\"exchange:wonderland\"]\nrequire_both = true\n",
    );
    let login =
        |algorithm| Login { user: "exchange".into(), password: "wonderland".into(), algorithm };
    let exchanges = [
        Exchange::start(&world, Flavour::Sixteen, Gateway::address(), Some(&login("MD5"))),
        Exchange::start(&world, Flavour::TwentyTwo, Gateway::address(), Some(&login("SHA-256"))),
    ];
    let now = wall_clock();
    for exchange in &exchanges {
        exchange.place(&[PhoneCall {
            id: "digest".into(),
            number: "pin".into(),
            codec: "alaw",
            acts: Vec::new(),
            ends_at: now + 5.0,
        }]);
    }
    std::thread::sleep(Duration::from_secs_f64(now + 6.5 - wall_clock()));
    for (exchange, algorithm) in exchanges.iter().zip(["MD5", "SHA-256"]) {
        let recording = exchange.recording("digest").unwrap_or_else(|| {
            panic!("the call with {algorithm} was not answered:\n{}", gateway.log())
        });
        let greeting = level_dbfs(&recording.heard, Searched { from: 0.3, to: 4.0 });
        assert!(
            greeting > -45.0,
            "{algorithm}: answered, yet no greeting was heard ({greeting:.0} dBFS)"
        );
        assert_eq!(exchange.complaints(), Vec::<String>::new());
    }
}

/// All sixteen pairs, or those of `WEEBEE_PEERS_ROOMS=0,5` while one looks for a fault.
fn chosen_rooms() -> Vec<Room> {
    let chosen = std::env::var("WEEBEE_PEERS_ROOMS").unwrap_or_default();
    let numbers: Vec<usize> = chosen.split(',').filter_map(|number| number.parse().ok()).collect();
    (0..16)
        .filter(|number| numbers.is_empty() || numbers.contains(number))
        .map(Room::numbered)
        .collect()
}

impl Room {
    fn numbered(number: usize) -> Room {
        let (row, column) = (number / 4, number % 4);
        Room {
            number,
            codec16: CODECS[row],
            codec22: CODECS[column],
            phone_codec: ["pcmu", "pcma", "g722", "opus"][(row + column) % 4],
            muter: if number.is_multiple_of(2) { Flavour::Sixteen } else { Flavour::TwentyTwo },
            attempt: 1,
        }
    }

    fn id(&self) -> String {
        format!("r{}t{}", self.number, self.attempt)
    }

    /// Names for the table: Asterisk 16, Asterisk 22, `weebee call`.
    fn names(&self) -> [String; 3] {
        let again =
            if self.attempt > 1 { format!(", try {}", self.attempt) } else { String::new() };
        [
            format!("Asterisk 16 ({}{again})", self.codec16),
            format!("Asterisk 22 ({}{again})", self.codec22),
            format!("weebee call ({}{again})", self.phone_codec),
        ]
    }
}

impl Stage {
    fn new(name: &str) -> Stage {
        let world = World::new(name);
        let gateway = Gateway::start(&world, TRUNKS);
        let sixteen = Exchange::start(&world, Flavour::Sixteen, Gateway::address(), None);
        let twenty_two = Exchange::start(&world, Flavour::TwentyTwo, Gateway::address(), None);
        let speeches = [0, 1, 2].map(|number| {
            Speech::spoken(world.folder(), &format!("speaker{number}"), number, SENTENCE)
        });
        sixteen.learn_sound("sentence", &speeches[0].wav);
        twenty_two.learn_sound("sentence", &speeches[1].wav);
        Stage { world, gateway, sixteen, twenty_two, speeches }
    }

    /// Plays the whole course in these rooms at once and judges each.
    fn play(&mut self, rooms: &[Room]) -> Vec<(Room, Vec<Row>)> {
        let pins: Vec<String> =
            rooms.iter().map(|room| self.gateway.pin(&self.world, &room.id())).collect();
        let start = wall_clock() + 0.5;
        self.sixteen.place(&calls(Flavour::Sixteen, rooms, &pins, start));
        self.twenty_two.place(&calls(Flavour::TwentyTwo, rooms, &pins, start));
        let said = Wav::silence(16_000, at::SENTENCES[2])
            .then(&self.speeches[2].wav)
            .then(&Wav::silence(16_000, 20.0));
        let mut phones: Vec<TestPhone> = rooms
            .iter()
            .zip(&pins)
            .map(|(room, pin)| {
                TestPhone::call(
                    &self.world,
                    &room.id(),
                    room.phone_codec,
                    pin,
                    &said,
                    at::END as u32,
                )
            })
            .collect();
        std::thread::sleep(Duration::from_secs_f64(start + at::END + 2.0 - wall_clock()));
        let log = self.gateway.log();
        assert!(!pins.iter().any(|pin| log.contains(pin)), "a PIN stands in the gateway's log");
        rooms
            .iter()
            .zip(&mut phones)
            .map(|(room, phone)| (*room, self.judge(room, start, phone)))
            .collect()
    }

    fn judge(&self, room: &Room, start: f64, phone: &mut TestPhone) -> Vec<Row> {
        let names = room.names();
        let flowed = phone.finish(Duration::from_secs(10));
        let recordings = (
            self.sixteen.recording(&room.id()),
            self.twenty_two.recording(&room.id()),
            phone.recording(),
        );
        let (Some(sixteen), Some(twenty_two), Some(third)) = recordings else {
            let faults =
                vec![format!("a recording is missing; weebee call says {}", phone.output())];
            return vec![Row { faults, ..empty_row(&names[0], &names[1]) }];
        };
        let delay = two_way_delay_ms(&sixteen, &twenty_two, &self.speeches);
        let (third, third_starts_at) = third;
        let third =
            Recording { said: Wav::silence(16_000, 0.0), starts_at: third_starts_at, heard: third };
        let spoken_at = [
            start + at::SENTENCES[0],
            start + at::SENTENCES[1],
            third_starts_at + at::SENTENCES[2],
        ];
        let ears = [&sixteen, &twenty_two, &third];
        let mut rows = Vec::new();
        for (listener, ear) in ears.iter().enumerate() {
            let own_voice_db = self.own_voice(ear, listener, spoken_at[listener]);
            for speaker in (0..3).filter(|&speaker| speaker != listener) {
                let found =
                    heard(&ear.heard, window(ear, spoken_at[speaker]), &self.speeches[speaker].wav);
                let mut row = judged_row(&names[speaker], &names[listener], found, own_voice_db);
                if listener < 2 && speaker < 2 {
                    row.delay_ms = Some(delay);
                    if delay.is_nan() || delay > DELAY_MAX_MS {
                        row.faults.push(format!("{delay:.0} ms from mouth to ear"));
                    }
                }
                rows.push(row);
            }
        }
        self.judge_mute(room, &ears, start, &mut rows[0].faults);
        if !flowed {
            rows[0].faults.push(format!("weebee call was not content: {}", phone.output()));
        }
        rows
    }

    fn own_voice(&self, ear: &Recording, speaker: usize, spoken_at: f64) -> f64 {
        leakage_db(&ear.heard, window(ear, spoken_at), &self.speeches[speaker].wav)
    }

    /// The muted one spoke: nobody else may have heard a thing.
    fn judge_mute(
        &self,
        room: &Room,
        ears: &[&Recording; 3],
        start: f64,
        faults: &mut Vec<String>,
    ) {
        let muter = usize::from(room.muter == Flavour::TwentyTwo);
        let said = &self.speeches[muter].wav;
        let spoke = level_dbfs(&ears[muter].said, window(ears[muter], start + at::MUTED_SENTENCE));
        if spoke < -40.0 {
            faults.push(format!(
                "the muted telephone did not speak ({spoke:.0} dBFS): nothing was tested"
            ));
        }
        for (listener, ear) in ears.iter().enumerate().filter(|(listener, _)| *listener != muter) {
            let searched = window(ear, start + at::MUTED_SENTENCE);
            let level = level_dbfs(&ear.heard, searched);
            let leakage = leakage_db(&ear.heard, searched, said);
            if level > MUTED_MAX_DBFS || leakage > OWN_VOICE_MAX_DB {
                faults.push(format!(
                    "{}: heard {level:.0} dBFS, {leakage:.0} dB of the voice, while {:?} was muted",
                    room.names()[listener],
                    room.muter
                ));
            }
        }
    }
}

fn calls(flavour: Flavour, rooms: &[Room], pins: &[String], start: f64) -> Vec<PhoneCall> {
    let (codec_of, sentence): (fn(&Room) -> &'static str, f64) = match flavour {
        Flavour::Sixteen => (|room| room.codec16, at::SENTENCES[0]),
        Flavour::TwentyTwo => (|room| room.codec22, at::SENTENCES[1]),
    };
    let say = || Act::Say("sentence".into());
    rooms
        .iter()
        .zip(pins)
        .map(|(room, pin)| {
            let mut acts =
                vec![(start + at::PIN, Act::Keys(format!("{pin}#"))), (start + sentence, say())];
            if room.muter == flavour {
                acts.push((start + at::MUTE, Act::Keys("*6".into())));
                acts.push((start + at::MUTED_SENTENCE, say()));
            }
            let number = if room.number.is_multiple_of(3) { "02112345678" } else { "pin" };
            PhoneCall {
                id: room.id(),
                number: number.into(),
                codec: codec_of(room),
                acts,
                ends_at: start + at::END,
            }
        })
        .collect()
}

/// The part of a recording in which a sentence spoken at `moment` must lie.
fn window(ear: &Recording, moment: f64) -> Searched {
    let from = moment - ear.starts_at - 0.4;
    Searched { from, to: from + SENTENCE + 1.6 }
}

/// Half of the way there and back, from positions inside the two recordings alone: no clocks are compared.
fn two_way_delay_ms(a: &Recording, b: &Recording, speeches: &[Speech; 3]) -> f64 {
    let place = |wav: &Wav, number: usize| {
        heard(wav, Searched { from: 0.0, to: at::MUTE }, &speeches[number].wav)
            .map(|found| found.starts_at)
    };
    let there = || Some(place(&b.heard, 0)? - place(&b.said, 1)?);
    let back = || Some(place(&a.heard, 1)? - place(&a.said, 0)?);
    match (there(), back()) {
        (Some(there), Some(back)) => (there + back) * 500.0,
        _ => f64::NAN,
    }
}

fn empty_row(speaker: &str, listener: &str) -> Row {
    Row {
        speaker: speaker.to_owned(),
        listener: listener.to_owned(),
        correlation: 0.0,
        level_db: 0.0,
        delay_ms: None,
        own_voice_db: 0.0,
        faults: Vec::new(),
    }
}

fn judged_row(speaker: &str, listener: &str, found: Option<Heard>, own_voice_db: f64) -> Row {
    let mut row = Row { own_voice_db, ..empty_row(speaker, listener) };
    let Some(found) = found else {
        row.faults.push("the recording ends before the sentence".into());
        return row;
    };
    row.correlation = found.correlation;
    row.level_db = found.level_db;
    if found.correlation < CORRELATION_MIN {
        row.faults.push(format!("not the same speech, drift {:.0} ms", found.drift_ms));
    } else if found.level_db.abs() > LEVEL_OFF_MAX_DB {
        row.faults.push("wrong level".into());
    }
    if own_voice_db > OWN_VOICE_MAX_DB {
        row.faults.push(format!("the listener hears himself at {own_voice_db:.0} dB"));
    }
    row
}
