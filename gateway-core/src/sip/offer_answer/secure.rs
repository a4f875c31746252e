//! Keys in SDP (RFC 4568): which suite, whose key, and whether plain RTP will do.
//!
//! One key of ours for each suite and dialog, drawn once: a re-INVITE that changes nothing else keeps it, so that the media
//! half goes on counting. A new key of theirs begins anew (rollover counter zero), as libsrtp's users do.

use crate::base::pii::Pii;
use crate::base::rng::Rng;
use crate::rtp::session::{MasterKey, SrtpKeys, SrtpProfile};
use crate::sip::sdp::{Crypto, Media};

use super::OfferError;

/// What a trunk wants of SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Srtp {
    /// Plain RTP alone; offers that insist on keys are refused.
    #[default]
    Off,
    /// Whatever the far side can: offered under `RTP/AVP` (RFC 8643), taken in any form.
    Optional,
    /// Keys or no call: `RTP/SAVP`.
    Required,
}

/// Keys that were agreed, and the line of ours that says so.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// For our answer.
    pub line: Crypto,
    /// For the media half.
    pub keys: SrtpKeys,
}

/// Keys of ours in one dialog.
#[derive(Debug)]
pub struct Keys {
    wanted: Srtp,
    /// In the order of our preference.
    own: Vec<MasterKey>,
}

impl Keys {
    /// Draws them, if they are wanted at all.
    pub fn new(wanted: Srtp, rng: &Rng) -> Self {
        let mut rng = rng.fork("sdes");
        let profiles = if wanted == Srtp::Off { &[][..] } else { &PROFILES[..] };
        let own = profiles.iter().filter_map(|profile| {
            let mut bytes = vec![0; profile.key_bytes() + profile.salt_bytes()];
            rng.fill(&mut bytes);
            MasterKey::new(*profile, &bytes)
        });
        Self { wanted, own: own.collect() }
    }

    /// Lines of an offer, and its transport.
    pub fn offered(&self) -> (Vec<Crypto>, &'static str) {
        let lines = (1..).zip(&self.own).map(|(tag, key)| line(tag, key)).collect();
        (lines, if self.wanted == Srtp::Required { "RTP/SAVP" } else { "RTP/AVP" })
    }

    /// Whether this transport can be had here at all.
    pub fn takes(&self, media: &Media) -> bool {
        match media.protocol.as_str() {
            "RTP/AVP" | "RTP/AVPF" => true,
            "RTP/SAVP" | "RTP/SAVPF" => self.wanted != Srtp::Off,
            _ => false,
        }
    }

    /// We answer: their first line that we can.
    pub fn answer(&self, offer: &Media) -> Result<Option<Agreement>, OfferError> {
        let found = offer.crypto.iter().find_map(|theirs| {
            let receive = theirs_of(theirs)?;
            let send = self.own.iter().find(|own| own.profile() == receive.profile())?.clone();
            Some(Agreement { line: line(theirs.tag, &send), keys: SrtpKeys { send, receive } })
        });
        self.judged(offer, found)
    }

    /// They answered our offer `ours`: the line of it that they took.
    pub fn accept(&self, ours: &Media, answer: &Media) -> Result<Option<Agreement>, OfferError> {
        if is_secure(ours) != is_secure(answer) {
            return Err(OfferError::AnswerShape);
        }
        let found = answer.crypto.iter().find_map(|theirs| {
            let receive = theirs_of(theirs)?;
            let line = ours.crypto.iter().find(|line| line.tag == theirs.tag)?;
            let send = self.own.iter().find(|own| own.bytes() == line.key.reveal())?.clone();
            let is_same = send.profile() == receive.profile();
            is_same.then(|| Agreement { line: line.clone(), keys: SrtpKeys { send, receive } })
        });
        self.judged(answer, found)
    }

    fn judged(
        &self,
        theirs: &Media,
        found: Option<Agreement>,
    ) -> Result<Option<Agreement>, OfferError> {
        let needed = is_secure(theirs) || self.wanted == Srtp::Required;
        if found.is_none() && needed { Err(OfferError::NoKeys) } else { Ok(found) }
    }
}

fn line(tag: u32, key: &MasterKey) -> Crypto {
    let suite = key.profile().name().to_owned();
    Crypto { tag, suite, key: Pii::new(key.bytes().to_vec()) }
}

/// The key of a line whose suite we have.
fn theirs_of(line: &Crypto) -> Option<MasterKey> {
    let profile = PROFILES.into_iter().find(|profile| profile.name() == line.suite)?;
    MasterKey::new(profile, line.key.reveal())
}

fn is_secure(media: &Media) -> bool {
    media.protocol.starts_with("RTP/SAVP")
}

/// What nearly everybody has comes first; the short tag last.
const PROFILES: [SrtpProfile; 4] = [
    SrtpProfile::AesCm128Sha1_80,
    SrtpProfile::AeadAes256Gcm,
    SrtpProfile::AeadAes128Gcm,
    SrtpProfile::AesCm128Sha1_32,
];
