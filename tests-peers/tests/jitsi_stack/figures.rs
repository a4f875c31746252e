//! How long a caller waits: figures for docs/performance.md. Asked for with `WEEBEE_JITSI_FIGURES=20` (calls, 15 s each).

use std::time::Duration;

use gateway_tests_peers::jitsi::{Participant, Wishes};
use gateway_tests_peers::sound::Wav;
use gateway_tests_peers::world::World;

use crate::stage::{Plan, Stage, tone};

const TRUNK: &str = "[[trunk]]\nname = \"phones\"\nsources = [\"127.0.0.1\"]\n";
const CALL_SECONDS: u32 = 12;

#[test]
fn how_long_a_caller_waits() {
    let asked =
        std::env::var("WEEBEE_JITSI_FIGURES").ok().and_then(|text| text.parse::<u32>().ok());
    let Some(calls) = asked else { return println!("asked for with WEEBEE_JITSI_FIGURES=20") };
    if !crate::all_there("how_long_a_caller_waits") {
        return;
    }
    let world = World::new("jitsi-figures");
    let stage = Stage::new(&world, TRUNK);
    let silence = Wav::silence(16_000, 10.0);
    let wishes = Wishes { says: Some(&silence), seconds: 0 };
    let web = Participant::join(&world, "figures", "webone", &wishes);
    web.told(0, Duration::from_secs(20), "occupant", |told| told["me"] == true);
    let (mut until_heard, mut until_keys) = (Vec::new(), Vec::new());
    for number in 0..=calls {
        // The first call warms Jicofo and the bridge, and is not counted.
        let seconds = if number == 0 { 3 * CALL_SECONDS } else { CALL_SECONDS };
        let lines = stage.gateway.log().lines().count();
        let begun = web.events().len();
        let plan = Plan::new("pcma", seconds).say(0.0, &tone(1_350.0, f64::from(seconds)));
        let mut phone = stage.call("figures", &format!("phone{number}"), &plan);
        let heard = web.told(begun, Duration::from_secs(30), "heard", |_| true);
        phone.heard(Duration::from_secs(50));
        web.told(begun, Duration::from_secs(10), "left", |_| true);
        if number == 0 {
            continue;
        }
        let log = stage.gateway.log();
        let since: Vec<&str> = log.lines().skip(lines).collect();
        let accepted = second_of(&since, " routed ").expect("a PIN is accepted");
        let heard = heard["at"].as_f64().expect("a time") % DAY;
        until_heard.push((heard - accepted).rem_euclid(DAY));
        // Said at debug only.
        if let (Some(invited), Some(up)) =
            (second_of(&since, "Invited"), second_of(&since, "event=Up"))
        {
            until_keys.push((up - invited).rem_euclid(DAY));
        }
    }
    told("PIN accepted -> heard by the web", &mut until_heard);
    told("invited -> keys and path (needs WEEBEE_LOG=info,gateway_core=debug)", &mut until_keys);
}

fn told(what: &str, seconds: &mut [f64]) {
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds.get((seconds.len() as f64 * share) as usize).map(|it| it * 1e3);
    println!("  {what}: {} calls, p50 {:.0?} ms, p95 {:.0?} ms", seconds.len(), at(0.5), at(0.95));
}

const DAY: f64 = 86_400.0;

/// Second of the day of the first log line that has this in it.
fn second_of(lines: &[&str], what: &str) -> Option<f64> {
    let line = lines.iter().find(|line| line.contains(what))?;
    let clock = line.split_once('T')?.1.split_once('Z')?.0;
    let mut parts = clock.split(':').map(|part| part.parse::<f64>());
    let (hours, minutes, seconds) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?);
    Some(hours * 3_600.0 + minutes * 60.0 + seconds)
}
