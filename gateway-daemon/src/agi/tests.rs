//! The server on real sockets, with a PBX made of lines; and a storm of nonsense.

use std::time::{Duration, Instant};

use gateway_core::base::rng::Rng;
use gateway_core::leg::backend::RoomName;
use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::dialogue::{Rules, Words};
use super::*;
use crate::pin::mint::{Issuer, Mint};
use crate::pin::ticket::TicketAsk;
use crate::pin::{PinKind, Verdict};
use crate::testing::Folder;

const CONFIG: &str = "
[[trunk]]
name = \"pbx\"
sources = [\"127.0.0.0/8\"]
[[trunk]]
name = \"other\"
sources = [\"192.0.2.1\"]
[agi]
listen = \"127.0.0.1:0\"
";

struct Stage {
    _folder: Folder,
    pins: Pins,
    status: Arc<Status>,
    address: SocketAddr,
}

impl Stage {
    async fn new(name: &str, more: &str) -> Self {
        let folder = Folder::new(name);
        let config = crate::config::parse("t", &format!("{CONFIG}{more}"), folder.path());
        let config = config.expect("legal");
        let registry = crate::pin::open(&config.pin).expect("opens");
        let rng = Rng::from_number(1);
        let pins = Pins::start(registry, config.pin.clone(), config.rooms.clone(), rng);
        let pins = pins.expect("starts");
        let status = Arc::new(Status::default());
        let agi = Agi::new(&config, pins.clone(), Arc::clone(&status)).expect("listens");
        let listener = agi.bind().await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        tokio::spawn(agi.serve(listener));
        Self { _folder: folder, pins, status, address }
    }

    async fn pin(&self, room: &str) -> String {
        let room = RoomName::new(room).expect("name");
        let mint = Mint::new(room, PinKind::Guest, Issuer::Chat);
        self.pins.mint(mint).await.expect("made").digits.into_inner()
    }

    async fn counted(&self, what: impl Fn(&AgiCounters) -> u64, number: u64) {
        let end = Instant::now() + Duration::from_secs(10);
        while what(&self.status.counters()) != number {
            assert!(Instant::now() < end, "{:?}", self.status.counters());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Asks `/check` about digits; the variables then.
    async fn checks(&self, script: &str, digits: &str) -> Vec<(String, String)> {
        let mut stream = TcpStream::connect(self.address).await.expect("connects");
        let (reader, mut writer) = stream.split();
        let greeting = format!(
            "agi_network: yes\nagi_network_script: {script}\nagi_uniqueid: 1.2\nagi_callerid: 622112345647\n\
             agi_arg_1: {digits}\n\n"
        );
        writer.write_all(greeting.as_bytes()).await.expect("sent");
        let mut variables = Vec::new();
        let mut lines = BufReader::new(reader).lines();
        while let Some(line) = lines.next_line().await.expect("readable") {
            let set = line.strip_prefix("SET VARIABLE ").expect("nothing else is wanted");
            let (name, value) = set.split_once(' ').expect("a value");
            variables.push((name.to_owned(), value.trim_matches('"').to_owned()));
            writer.write_all(b"200 result=1\n").await.expect("sent");
        }
        variables
    }
}

fn last<'a>(variables: &'a [(String, String)], name: &str) -> &'a str {
    let found = variables.iter().rev().find(|(known, _)| known == name);
    found.map_or("", |(_, value)| value.as_str())
}

#[tokio::test]
async fn a_good_pin_gets_a_ticket_that_opens_its_room() {
    let stage = Stage::new("agi-good", "").await;
    let pin = stage.pin("tea").await;
    for (script, trunk) in [("check", "anybody"), ("check?trunk=other", "other")] {
        let variables = stage.checks(script, &pin).await;
        assert_eq!(variables.last().expect("some").1, "OK");
        let text = Pii::new(last(&variables, "__WB_TICKET").to_owned());
        let ask = TicketAsk { text, trunk: trunk.to_owned(), room: None };
        let verdict = stage.pins.redeem(ask).await.expect("works");
        assert!(matches!(&verdict, Verdict::Valid(grant) if grant.room.as_str() == "tea"));
    }
    let variables = stage.checks("check?trunk=other", &pin).await;
    let text = Pii::new(last(&variables, "__WB_TICKET").to_owned());
    let foreign = TicketAsk { text, trunk: "pbx".to_owned(), room: None };
    let verdict = stage.pins.redeem(foreign).await.expect("works");
    assert!(matches!(verdict, Verdict::Refused(_)), "a ticket is its trunk's, if that is named");
    stage.counted(|it| it.agi_admitted, 3).await;
}

#[tokio::test]
async fn wrong_pins_wait_and_are_counted_with_those_of_calls() {
    let stage = Stage::new("agi-wrong", "[pin]\nwrong_per_caller_h = 2\n").await;
    let pin = stage.pin("tea").await;
    for _ in 0..2 {
        let asked = Instant::now();
        let variables = stage.checks("check", "121212121").await;
        assert_eq!(last(&variables, "WB_RESULT"), "REFUSED");
        assert_eq!(last(&variables, "__WB_TICKET"), "");
        assert!(asked.elapsed() >= crate::ivr::ANSWER_AFTER, "{:?}", asked.elapsed());
    }
    let variables = stage.checks("check", &pin).await;
    assert_eq!(last(&variables, "WB_RESULT"), "REFUSED", "this caller is locked out");
    stage.counted(|it| it.agi_refused, 3).await;
}

#[tokio::test]
async fn strangers_and_too_many_are_closed() {
    let stage = Stage::new("agi-list", "allow = [\"192.0.2.1\"]\n").await;
    let mut stream = TcpStream::connect(stage.address).await.expect("connects");
    let (mut reader, _writer): (ReadHalf<'_>, WriteHalf<'_>) = stream.split();
    let read = reader.read(&mut [0; 16]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    stage.counted(|it| it.agi_strangers, 1).await;

    let stage = Stage::new("agi-many", "connections_max = 2\n").await;
    let mut open = Vec::new();
    for number in 1..=2 {
        open.push(TcpStream::connect(stage.address).await.expect("connects"));
        stage.counted(|it| it.agi_connections, number).await;
    }
    let mut third = TcpStream::connect(stage.address).await.expect("connects");
    let read = third.read(&mut [0; 16]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    stage.counted(|it| it.agi_full, 1).await;
    drop(open.pop());
    stage.counted(|it| it.agi_failed, 1).await;
    let pin = stage.pin("tea").await;
    assert_eq!(last(&stage.checks("check", &pin).await, "WB_RESULT"), "OK", "there is room again");
}

#[tokio::test]
async fn bad_peers_are_closed_and_others_go_on() {
    let stage = Stage::new("agi-bad", "").await;
    let long = "x".repeat(5_000);
    let many = "agi_arg_1: x\n".repeat(100);
    let bad = [
        "GET / HTTP/1.1\r\n\r\n",
        "agi_network_script: nothing\n\n",
        long.as_str(),
        many.as_str(),
        "\n",
        "agi_network_script: pin\n\n404 no\n",
    ];
    for (number, text) in bad.iter().enumerate() {
        let mut stream = TcpStream::connect(stage.address).await.expect("connects");
        let _ = stream.write_all(text.as_bytes()).await;
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said).await;
        stage.counted(|it| it.agi_failed, number as u64 + 1).await;
    }
    let pin = stage.pin("tea").await;
    assert_eq!(last(&stage.checks("check", &pin).await, "WB_RESULT"), "OK");
    assert_eq!(stage.status.open(), 0);
}

/// Lines that look like those of a PBX, cut, mixed and made of noise.
struct Storm(Rng);

impl Storm {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u32) as usize
    }

    fn line(&mut self) -> String {
        let known = [
            "200 result=1",
            "200 result=0",
            "200 result=-1",
            "200 result=6",
            "200 result=35",
            "200 result=57",
            "200 result=42",
            "200 result=918273645",
            "200 result=12*34 (timeout)",
            "200 result= (timeout)",
            "200 result=99999999999999999999999999",
            "200 result=1 (x) endpos=1",
            "510 Invalid or unknown command",
            "511 Command Not Permitted on a dead channel",
            "520-Invalid command syntax.",
            "520 End of proper usage.",
            "HANGUP",
            "agi_network_script: pin?tries=255&ask=../../x",
            "agi_network_script: check?trunk=\u{0}",
            "agi_callerid: \"x\" <1>\\",
            "agi_arg_1: 918273645",
            "",
        ];
        let at = self.below(known.len());
        let mut line = known.get(at).copied().unwrap_or_default().to_owned();
        match self.below(4) {
            0 => {
                let cut = self.below(line.len() + 1);
                let keep: String = line.chars().take(cut).collect();
                line = keep;
            }
            1 => {
                let length = self.below(40);
                let mut noise = vec![0; length];
                self.0.fill(&mut noise);
                line.push_str(&String::from_utf8_lossy(&noise).replace('\n', " "));
            }
            _ => {}
        }
        line
    }
}

/// One conversation with nonsense: no panic, no line of ours that is two, no `OK` without a ticket, and an end.
fn weather(storm: &mut Storm, rules: &Rules) -> u32 {
    let mut greeter = Greeter::default();
    let mut greeting = Greeting::default();
    for _ in 0..storm.below(8) {
        match greeter.line(&storm.line()) {
            Ok(Some(done)) => {
                greeting = done;
                break;
            }
            Ok(None) => {}
            Err(_) => break,
        }
    }
    let mut dialogue = match storm.below(2) {
        0 => Dialogue::asking(rules.clone(), &greeting),
        _ => Dialogue::checking(rules.clone(), &greeting),
    };
    let (mut turn, mut lines, mut has_ticket) = (Some(dialogue.begin()), 0_u32, false);
    loop {
        turn = match turn {
            Some(Turn::Say(command)) => {
                assert!(command.len() < 1_024 && !command.contains(['\n', '\r']), "{command}");
                let is_ok = command == "SET VARIABLE WB_RESULT \"OK\"";
                assert!(has_ticket || !is_ok, "a yes without a ticket");
                None
            }
            Some(Turn::Judge(digits)) => {
                assert!(digits.reveal().len() <= 64 && !digits.reveal().is_empty());
                assert!(digits.reveal().bytes().all(|digit| digit.is_ascii_digit()));
                let judged = match storm.below(3) {
                    0 => Judged::Refused,
                    1 => Judged::Unavailable,
                    _ => Judged::Ticket(Pii::new("t".repeat(34))),
                };
                has_ticket |= matches!(judged, Judged::Ticket(_));
                Some(dialogue.judged(judged))
            }
            Some(Turn::Done(ending)) => {
                assert!(has_ticket || ending != Ending::Ok);
                return lines;
            }
            None => {
                lines += 1;
                assert!(lines < 2_000, "it never ends");
                dialogue.heard(Line::read(&storm.line()))
            }
        };
    }
}

/// Quick by default; `WEEBEE_FUZZ_AGI=1000000` conversations for the long run.
#[test]
fn nonsense_from_a_pbx_ends_its_own_conversation_alone() {
    let wanted = std::env::var("WEEBEE_FUZZ_AGI").ok().and_then(|number| number.parse().ok());
    let conversations: u32 = wanted.unwrap_or(20_000);
    let words = Words {
        ask: "conf-getpin".to_owned(),
        wrong: "conf-invalidpin".to_owned(),
        goodbye: "vm-goodbye".to_owned(),
        unavailable: String::new(),
    };
    let rules = Rules { words, tries: 3, digits: 9, patience_ms: 10_000 };
    let mut storm = Storm(Rng::from_number(20_261_122));
    let lines: u64 = (0..conversations).map(|_| u64::from(weather(&mut storm, &rules))).sum();
    println!("{conversations} conversations, {lines} lines");
    assert!(lines > u64::from(conversations), "the storm says something");
}
