//! The media half of a seat in an embedded room: the phone's packets feed the room's [`Ingress`] as they come (its
//! jitter buffer is the last one), and the phone hears the room without itself. It has no packets of its own.

use std::net::SocketAddr;
use std::time::Instant;

use crate::base::time::Why;
use crate::leg::media::{ConferenceEvent, ConferenceMedia, Transmit, Uplink, UplinkQuality};
use crate::media::codec::CodecKind;
use crate::media::frame::SampleRate;
use crate::media::ingress::{EarKey, Ingress, Source, SourceKey, SourcePacket};

/// The media half of one seat.
pub struct RoomMedia {
    ear: EarKey,
    key: SourceKey,
    rate: SampleRate,
    /// Here before attach and after detach, so that signalling allocates and frees it.
    source: Option<Box<Source>>,
    event: Option<ConferenceEvent>,
}

impl RoomMedia {
    /// A seat whose phone may send any of `codecs` and hears at `rate`. `seat` is unique in the room.
    pub fn new(seat: u64, codecs: &[CodecKind], rate: SampleRate) -> Box<Self> {
        let (ear, key) = (EarKey(seat), SourceKey(seat));
        let source = Some(Source::new(key, Some(ear), codecs));
        Box::new(Self { ear, key, rate, source, event: None })
    }
}

impl ConferenceMedia for RoomMedia {
    fn attach(&mut self, now: Instant, ingress: &mut Ingress) {
        let Some(source) = self.source.take() else { return };
        let listens = ingress.add_ear(self.ear, self.rate);
        let refused = ingress.add_source(now, source).err();
        let joined = listens && refused.is_none();
        self.source = refused;
        self.event = Some(if joined { ConferenceEvent::Connected } else { ConferenceEvent::Lost });
    }

    fn detach(&mut self, ingress: &mut Ingress) {
        ingress.remove_ear(self.ear);
        self.source = ingress.remove_source(self.key);
    }

    fn ear(&self) -> EarKey {
        self.ear
    }

    fn set_rate(&mut self, rate: SampleRate, ingress: &mut Ingress) {
        if rate != self.rate {
            self.rate = rate;
            ingress.remove_ear(self.ear);
            ingress.add_ear(self.ear, rate);
        }
    }

    fn handle_packet(&mut self, _: Instant, _: SocketAddr, _: &[u8], _: &mut Ingress) {}

    fn push_uplink(&mut self, now: Instant, speech: Uplink<'_>, ingress: &mut Ingress) {
        ingress.put(now, self.key, SourcePacket::from(speech));
    }

    fn set_muted(&mut self, muted: bool, ingress: &mut Ingress) {
        ingress.set_muted(self.key, muted);
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
        UplinkQuality::of(ingress, self.key)
    }
}
