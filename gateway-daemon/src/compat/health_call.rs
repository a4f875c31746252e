//! The call that shows whether calls work: from time to time one to a number that answers and sends sound. Ill when none has
//! worked for the configured time; one failure alone is tried again after a minute, and is no illness.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use gateway_core::base::ids::{CallKey, TrunkId};
use gateway_core::base::pii::Pii;
use gateway_core::call::Route;
use gateway_core::gateway::{Command, DialOrder, ROOM_BACKEND};
use gateway_core::io::signalling::GatewayHandle;
use gateway_core::leg::backend::{Entry, Role, RoomName, RoomPolicy};
use gateway_core::leg::end_reason::EndReason;
use gateway_core::media::clip::Language;

use crate::config::Config;
use crate::config::compat::HealthCall;

/// How the last health calls went.
#[derive(Debug, Default)]
pub struct Pulse(Mutex<Option<Beat>>);

/// Since when calls are known to work, or not.
#[derive(Debug)]
struct Beat {
    /// The last that worked; the start, before there was one.
    good: Instant,
    timeout: Duration,
    /// Why the last one did not.
    why: Option<&'static str>,
}

impl Pulse {
    /// A sentence with its remedy, when none has worked for too long.
    pub fn trouble(&self, now: Instant) -> Option<String> {
        let beat = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let beat = beat.as_ref()?;
        let why = beat.why.filter(|_| now.saturating_duration_since(beat.good) > beat.timeout)?;
        let minutes = now.saturating_duration_since(beat.good).as_secs() / 60;
        Some(format!(
            "health call: none has worked for {minutes} min ({why}); call [jigasi] health_check_uri by hand and look at \
             its trunk"
        ))
    }

    fn begin(&self, now: Instant, timeout: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Beat { good: now, timeout, why: None });
    }

    fn beat(&self, now: Instant, result: Result<(), &'static str>) {
        if let Some(beat) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            beat.why = result.err();
            if beat.why.is_none() {
                beat.good = now;
            }
        }
    }
}

/// Calls for ever.
pub async fn run(call: HealthCall, config: &Config, handle: GatewayHandle, pulse: &Pulse) {
    let Some(peer) = config.trunks.get(call.trunk).and_then(|trunk| trunk.sip.peer) else { return };
    let target = match call.target.contains(':') {
        true => call.target.clone(),
        false => format!("sip:{}@{peer}", call.target),
    };
    pulse.begin(Instant::now(), call.timeout);
    loop {
        let mut result = once(&call, &target, &handle).await;
        if result.is_err() {
            tokio::time::sleep(AGAIN_AFTER).await;
            result = once(&call, &target, &handle).await;
        }
        if let Err(why) = result {
            tracing::warn!(why, "health call failed");
        }
        pulse.beat(Instant::now(), result);
        tokio::time::sleep(call.every).await;
    }
}

async fn once(call: &HealthCall, target: &str, handle: &GatewayHandle) -> Result<(), &'static str> {
    let room = RoomName::new("weebee health call").expect("a name without control characters");
    let command = Command::Dial {
        trunk: TrunkId(u16::try_from(call.trunk).unwrap_or(u16::MAX)),
        target: target.to_owned(),
        from_user: Pii::new("weebee-health".to_owned()),
        from_name: Pii::default(),
        headers: Vec::new(),
        route: Box::new(Route {
            backend: ROOM_BACKEND.to_owned(),
            room,
            role: Role::Host,
            label: Pii::new("health call".to_owned()),
            language: Language::En,
            policy: RoomPolicy::default(),
            length_max: Some(RINGS_MAX + SOUND_WITHIN * 2),
            note: Some("health".to_owned()),
            entry: Entry::default(),
        }),
        keys: None,
        quiet: false,
        order: DialOrder::PhoneFirst,
    };
    let key = handle.command(command).await.map_err(|_| "it could not be sent")?;
    let key = key.ok_or("it could not be sent")?;
    let result = heard(key, handle).await;
    let _ = handle.tell(Command::End { call: key, reason: EndReason::Operator }).await;
    result
}

/// Waits for sound of a call.
async fn heard(key: CallKey, handle: &GatewayHandle) -> Result<(), &'static str> {
    let begun = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let snapshot = handle.snapshot().await.map_err(|_| "the gateway has stopped")?;
        let call = snapshot.calls.into_iter().find(|call| call.call == key);
        let call = call.filter(|call| call.ending.is_none()).ok_or("it was refused or hung up")?;
        match call.answered_for {
            Some(_) if call.report.packets_received > 0 => return Ok(()),
            Some(since) if since > SOUND_WITHIN => return Err("it was answered and sent no sound"),
            None if begun.elapsed() > RINGS_MAX => return Err("nobody answered"),
            _ => {}
        }
    }
}

/// As long as Jigasi rings.
const RINGS_MAX: Duration = Duration::from_secs(60);
/// From the answer to sound; a leg tells its figures every few seconds.
const SOUND_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(500);
const AGAIN_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_no_illness_and_a_long_time_without_success_is() {
        let (pulse, now) = (Pulse::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(pulse.trouble(at(9_999)), None, "nobody calls");
        pulse.begin(now, Duration::from_secs(600));
        pulse.beat(at(300), Err("nobody answered"));
        assert_eq!(pulse.trouble(at(599)), None);
        let said = pulse.trouble(at(660)).expect("too long");
        assert!(said.contains("11 min") && said.contains("nobody answered"), "{said}");
        pulse.beat(at(661), Ok(()));
        assert_eq!(pulse.trouble(at(1_200)), None);
    }
}
