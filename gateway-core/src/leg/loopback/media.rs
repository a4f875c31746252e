//! The media half of the loopback: the phone's packets feed a source that nobody owns, so its own ear hears it.

use std::net::SocketAddr;
use std::time::Instant;

use crate::base::time::Why;
use crate::leg::media::{ConferenceEvent, ConferenceMedia, Transmit, Uplink, UplinkQuality};
use crate::media::codec::CodecKind;
use crate::media::frame::SampleRate;
use crate::media::ingress::{EarKey, Ingress, Source, SourceKey, SourcePacket};

const EAR: EarKey = EarKey(1);
const SOURCE: SourceKey = SourceKey(1);

/// The echo of one phone. Its room is its own.
pub struct LoopbackMedia {
    rate: SampleRate,
    source: Option<Box<Source>>,
    event: Option<ConferenceEvent>,
}

impl LoopbackMedia {
    /// An echo for a phone that may send `codecs` and hears at `rate`.
    pub fn new(codecs: &[CodecKind], rate: SampleRate) -> Box<Self> {
        Box::new(Self { rate, source: Some(Source::new(SOURCE, None, codecs)), event: None })
    }
}

impl ConferenceMedia for LoopbackMedia {
    fn attach(&mut self, now: Instant, ingress: &mut Ingress) {
        let Some(source) = self.source.take() else { return };
        let listens = ingress.add_ear(EAR, self.rate);
        self.source = ingress.add_source(now, source).err();
        let joined = listens && self.source.is_none();
        self.event = Some(if joined { ConferenceEvent::Connected } else { ConferenceEvent::Lost });
    }

    fn detach(&mut self, ingress: &mut Ingress) {
        ingress.remove_ear(EAR);
        self.source = ingress.remove_source(SOURCE);
    }

    fn ear(&self) -> EarKey {
        EAR
    }

    fn set_rate(&mut self, rate: SampleRate, ingress: &mut Ingress) {
        if rate != self.rate {
            self.rate = rate;
            ingress.remove_ear(EAR);
            ingress.add_ear(EAR, rate);
        }
    }

    fn handle_packet(&mut self, _: Instant, _: SocketAddr, _: &[u8], _: &mut Ingress) {}

    fn push_uplink(&mut self, now: Instant, speech: Uplink<'_>, ingress: &mut Ingress) {
        ingress.put(now, SOURCE, SourcePacket::from(speech));
    }

    fn set_muted(&mut self, muted: bool, ingress: &mut Ingress) {
        ingress.set_muted(SOURCE, muted);
    }

    fn handle_timeout(&mut self, _: Instant, _: &mut Ingress) {}

    fn poll_transmit(&mut self, _: &mut [u8]) -> Option<Transmit> {
        None
    }

    fn poll_event(&mut self) -> Option<ConferenceEvent> {
        self.event.take()
    }

    fn poll_timeout(&self) -> Option<(Instant, Why)> {
        None
    }

    fn uplink_quality(&self, ingress: &Ingress) -> Option<UplinkQuality> {
        UplinkQuality::of(ingress, SOURCE)
    }
}
