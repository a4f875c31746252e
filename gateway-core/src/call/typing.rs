//! Keys that we press on the phone's line: behind a dialled number, by the owner, or by people in the room. Each goes the
//! way that the trunk's network understands.

use std::time::Duration;

use crate::call::machine::{Call, Stage, Timer};
use crate::call::{Digits, Moment};
use crate::leg::media::{KeyWay, ToMedia};
use crate::leg::trunk::signal::{DtmfWay, TrunkCommand};
use crate::media::dtmf::{Key, Press};

impl Call {
    /// Keys that were dialled behind the number: after their first pause.
    pub(super) fn begin_keys(&mut self, at: Moment) {
        if let Some((pause, _)) = &self.keys_to_send {
            self.timers.set(Timer::SendKeys, at.now + *pause);
        }
    }

    /// Types up to the next comma; the rest when these are out and its pause is over.
    pub(super) fn send_keys(&mut self, at: Moment) {
        let Some((_, digits)) = self.keys_to_send.take() else { return };
        let now: Digits = digits.iter().copied().take_while(|sign| *sign != b',').collect();
        let behind = digits.iter().skip(now.len());
        let commas = behind.clone().take_while(|sign| **sign == b',').count();
        let rest: Digits = behind.skip(commas).copied().collect();
        if !rest.is_empty() {
            let pause = KEY_TAKES * now.len() as u32 + COMMA * commas as u32;
            self.keys_to_send = Some((pause, rest));
            self.begin_keys(at);
        }
        self.type_keys(at, &now);
    }

    /// Types keys into the call, now.
    pub fn type_keys(&mut self, at: Moment, digits: &Digits) {
        let keys = digits.iter().filter_map(|digit| Key::from_char(char::from(*digit)));
        self.press(at, &keys.map(Press::from).collect::<Vec<Press>>());
        self.drain(at);
    }

    /// Somebody in the room pressed a key for us. A phone that does not talk yet is not pressed at.
    pub(super) fn room_key(&mut self, at: Moment, press: Press) {
        if self.is_audible && matches!(self.stage, Stage::Joining | Stage::Joined) {
            self.press(at, &[press]);
        }
    }

    fn press(&mut self, at: Moment, keys: &[Press]) {
        let takes_events = self.session.as_ref().is_some_and(|it| it.send_events.is_some());
        let way = match self.policy.dtmf {
            DtmfWay::Info => {
                let Some(trunk) = &mut self.trunk else { return };
                for key in keys {
                    trunk.command(at.now, TrunkCommand::Key(*key));
                }
                return;
            }
            DtmfWay::Rtp => KeyWay::Events,
            DtmfWay::Inband => KeyWay::Tones,
            DtmfWay::Auto if takes_events => KeyWay::Events,
            DtmfWay::Auto => KeyWay::Tones,
        };
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let keys = keys.iter().copied().collect();
            self.media(ToMedia::SendKeys { call: self.key, keys, way });
        }
    }
}

/// What a comma among keys means.
const COMMA: Duration = Duration::from_secs(2);
/// From one key to the next.
const KEY_TAKES: Duration = Duration::from_millis(240);
/// As many as one order to the shard holds.
const KEYS_AT_ONCE: usize = 32;
