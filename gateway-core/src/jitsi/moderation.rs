//! The microphone and the hand of a phone: what its caller wants, what moderators want, and what the web sees.
//!
//! A moderator's mute is obeyed and answered; nobody but the caller switches his microphone on. Where moderators keep
//! microphones off (AV moderation), the focus is asked first, and a refusal raises the caller's hand: on a telephone
//! there is no other way to ask.
//!
//! Only the focus of our room may mute, and only components of our own server may speak for the room: everybody
//! else is ignored.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use minidom::Element;

use super::stanza::exchange::{Iq, same_address};
use super::stanza::iq::{FORBIDDEN, NOT_ALLOWED};
use super::stanza::mute::{MuteRequest, own_mute};
use super::stanza::room_message::{AvModeration, Metadata};
use crate::base::rng::Rng;
use crate::base::time::Why;

/// The focus answers our wish to speak within this; without an answer the wish is granted, because a focus that
/// forbids says so, and the bridge enforces it anyway.
pub const WISH_ANSWERED_WITHIN: Duration = Duration::from_secs(5);

const WISH: Why = Why("jitsi.unmute_wish");

/// From the machine.
#[derive(Clone, Debug, PartialEq)]
pub enum ModerationOutput {
    /// To the stream.
    Send(Element),
    /// To the owner.
    Event(ModerationEvent),
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModerationEvent {
    /// The microphone is off (true) or on: tell it in our presence.
    ShowMuted(bool),
    /// A moderator switched it off, or everybody starts so: tell the caller.
    MutedByModerator,
    /// Moderators keep microphones off, or no longer.
    Moderated(bool),
    /// We may speak all the same, or no longer.
    Approved(bool),
    /// The caller may switch it on now: tell him.
    MaySpeak,
    /// The caller wanted to switch it on and may not: tell him, and raise his hand.
    SpeechRefused,
}

/// The machine. One per leg.
pub struct Moderation {
    is_muted: bool,
    /// Moderators keep microphones off.
    is_moderated: bool,
    /// We are one of those who may speak all the same.
    is_approved: bool,
    is_moderator: bool,
    /// Who joins now starts muted; looked at once, at the join.
    starts_muted: bool,
    /// Our wish to speak: its id, and until when it is answered.
    wish: Option<(String, String, Instant)>,
    rng: Rng,
    outputs: VecDeque<ModerationOutput>,
}

impl Moderation {
    /// A microphone that is on.
    pub fn new(rng: Rng) -> Self {
        Self {
            is_muted: false,
            is_moderated: false,
            is_approved: false,
            is_moderator: false,
            starts_muted: false,
            wish: None,
            rng,
            outputs: VecDeque::new(),
        }
    }

    /// The microphone is off.
    pub fn is_muted(&self) -> bool {
        self.is_muted
    }

    /// We are in a room (again): it tells anew what holds there.
    pub fn joined(&mut self) {
        if std::mem::take(&mut self.starts_muted) {
            self.mute_by_moderator();
        }
    }

    /// We are out: what held there holds no more. The caller's microphone stays as it is.
    pub fn left(&mut self) {
        self.is_moderated = false;
        self.is_approved = false;
        self.is_moderator = false;
        self.starts_muted = false;
        self.wish = None;
    }

    /// We were given or lost the right to moderate.
    pub fn set_moderator(&mut self, is_moderator: bool) {
        self.is_moderator = is_moderator;
    }

    /// The offer said that we start muted.
    pub fn offer_starts_muted(&mut self) {
        self.mute_by_moderator();
    }

    /// The caller wants his microphone off or on.
    pub fn want_muted(&mut self, now: Instant, muted: bool, focus: &str, own: &str) {
        if muted || !self.needs_leave() {
            self.wish = None;
            return self.show(muted);
        }
        if !self.is_approved {
            return self.event(ModerationEvent::SpeechRefused);
        }
        let id = self.rng.token(12);
        let ask = own_mute(&id, focus, own, false);
        self.outputs.push_back(ModerationOutput::Send(ask));
        self.wish = Some((id, focus.to_owned(), now + WISH_ANSWERED_WITHIN));
    }

    fn needs_leave(&self) -> bool {
        self.is_moderated && !self.is_moderator
    }

    /// An IQ: the answer to our wish, or a mute request. True if it was taken; a request is answered.
    pub fn handle_iq(&mut self, iq: &Iq<'_>, focus: &str, own: &str) -> bool {
        if let Some((_, asked, _)) = self.wish.take_if(|(id, asked, _)| iq.answers(id, asked)) {
            debug_assert!(!asked.is_empty());
            match iq.error() {
                None => self.show(false),
                Some(_) => self.event(ModerationEvent::SpeechRefused),
            }
            return true;
        }
        let Some(request) = MuteRequest::read(iq) else { return false };
        let is_focus = iq.from.is_some_and(|from| same_address(from, focus));
        let is_us = request.target.as_deref().is_none_or(|target| same_address(target, own));
        let answer = match (is_focus && is_us, request.muted) {
            (true, true) => {
                self.mute_by_moderator();
                iq.result()
            }
            // Nobody switches a telephone's microphone on from afar.
            (true, false) => iq.refuse(NOT_ALLOWED),
            (false, _) => iq.refuse(FORBIDDEN),
        };
        self.outputs.push_back(ModerationOutput::Send(answer));
        true
    }

    /// From the AV moderation component of our server.
    pub fn av_moderation(&mut self, said: AvModeration) {
        match said {
            AvModeration::Enabled(enabled) => {
                self.is_moderated = enabled;
                self.is_approved = false;
                self.event(ModerationEvent::Moderated(enabled));
            }
            AvModeration::Approved => {
                self.is_approved = true;
                self.event(ModerationEvent::Approved(true));
                if self.is_muted {
                    self.event(ModerationEvent::MaySpeak);
                }
            }
            AvModeration::Removed => {
                self.is_approved = false;
                self.event(ModerationEvent::Approved(false));
            }
        }
    }

    /// From the metadata component of our server.
    pub fn metadata(&mut self, metadata: Metadata, is_in: bool) {
        // What is said after the join is for those who come later.
        if let (Some(muted), false) = (metadata.starts_muted, is_in) {
            self.starts_muted = muted;
        }
    }

    /// Due deadlines.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.wish.take_if(|(_, _, until)| *until <= now).is_some() {
            self.show(false);
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<ModerationOutput> {
        self.outputs.pop_front()
    }

    /// The next deadline.
    pub fn poll_timeout(&self) -> Option<(Instant, Why)> {
        self.wish.as_ref().map(|(_, _, until)| (*until, WISH))
    }

    fn mute_by_moderator(&mut self) {
        self.wish = None;
        if !self.is_muted {
            self.show(true);
            self.event(ModerationEvent::MutedByModerator);
        }
    }

    fn show(&mut self, muted: bool) {
        self.is_muted = muted;
        self.event(ModerationEvent::ShowMuted(muted));
    }

    fn event(&mut self, event: ModerationEvent) {
        self.outputs.push_back(ModerationOutput::Event(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::{Capture, parse_stanzas};
    use crate::jitsi::stanza::room_message::{RoomMessage, Said};

    const FOCUS: &str = "avm1@muc.meet.test/focus";
    const OWN: &str = "avm1@muc.meet.test/328d57b2";

    struct Bench {
        moderation: Moderation,
        now: Instant,
    }

    impl Bench {
        fn new() -> Self {
            Self { moderation: Moderation::new(Rng::from_number(3)), now: Instant::now() }
        }

        fn wants(&mut self, muted: bool) {
            self.moderation.want_muted(self.now, muted, FOCUS, OWN);
        }

        fn hears(&mut self, stanza: &Element) -> bool {
            if let Some(iq) = Iq::read(stanza) {
                return self.moderation.handle_iq(&iq, FOCUS, OWN);
            }
            match RoomMessage::read(stanza).map(|it| it.said) {
                Some(Said::AvModeration(said)) => self.moderation.av_moderation(said),
                _ => return false,
            }
            true
        }

        fn outputs(&mut self) -> (Vec<Element>, Vec<ModerationEvent>) {
            let (mut sent, mut events) = (Vec::new(), Vec::new());
            while let Some(output) = self.moderation.poll_output() {
                match output {
                    ModerationOutput::Send(element) => sent.push(element),
                    ModerationOutput::Event(event) => events.push(event),
                }
            }
            (sent, events)
        }

        /// Our wish, answered as the focus of the capture answered.
        fn answered(&mut self, wish: &Element, kind: &str) {
            let id = wish.attr("id").expect("an id");
            let error = match kind {
                "error" => {
                    "<error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
                }
                _ => "",
            };
            let xml = format!("<iq type='{kind}' id='{id}' from='{FOCUS}'>{error}</iq>");
            assert!(self.hears(&parse_stanzas(&xml).expect("XML")[0]));
        }
    }

    #[test]
    fn the_whole_story_of_av_moderation_is_followed_as_the_phone_of_the_capture_did() {
        use ModerationEvent::*;
        let capture = Capture::stanzas("60-av-moderation");
        let mut t = Bench::new();
        let mut heard = capture.received("D").filter(|it| {
            let is_mute = it.children().any(|child| child.name() == "mute");
            is_mute && it.attr("type") == Some("set") || it.name() == "message"
        });
        let mut next = |t: &mut Bench| {
            let stanza = heard.by_ref().find(|it| t.hears(it)).expect("more of the capture");
            (stanza.attr("id").map(str::to_owned), t.outputs())
        };
        // Enabled, then muted by the focus on its own; the answer is the one the capture gave.
        assert_eq!(next(&mut t).1, (vec![], vec![Moderated(true)]));
        let (id, (sent, events)) = next(&mut t);
        assert_eq!((sent[0].attr("type"), sent[0].attr("id")), (Some("result"), id.as_deref()));
        assert_eq!(events, [ShowMuted(true), MutedByModerator]);
        // The caller wants to speak, and may not.
        t.wants(false);
        assert_eq!(t.outputs(), (vec![], vec![SpeechRefused]));
        // A moderator mutes again: nothing new. Then approves.
        assert_eq!(next(&mut t).1.1, []);
        assert_eq!(next(&mut t).1.1, [Approved(true), MaySpeak]);
        t.wants(false);
        let (sent, events) = t.outputs();
        assert_eq!((sent.len(), events.len()), (1, 0));
        t.answered(&sent[0], "result");
        assert_eq!(t.outputs().1, [ShowMuted(false)]);
        // Approval taken back; moderation over; asked to speak.
        t.wants(true);
        assert_eq!(t.outputs().1, [ShowMuted(true)]);
        assert_eq!(next(&mut t).1.1, [Approved(false)]);
        t.wants(false);
        assert_eq!(t.outputs().1, [SpeechRefused]);
        let mut last = Vec::new();
        while last.last() != Some(&MaySpeak) {
            last = next(&mut t).1.1;
        }
        t.wants(false);
        assert_eq!(t.outputs().1, [ShowMuted(false)]);
    }

    #[test]
    fn a_focus_that_says_no_or_nothing_is_understood() {
        let mut t = Bench::new();
        t.moderation.av_moderation(AvModeration::Enabled(true));
        t.moderation.av_moderation(AvModeration::Approved);
        t.wants(true);
        t.outputs();
        t.wants(false);
        let wish = t.outputs().0.remove(0);
        t.answered(&wish, "error");
        assert_eq!(t.outputs().1, [ModerationEvent::SpeechRefused]);
        t.wants(false);
        t.outputs();
        let (at, _) = t.moderation.poll_timeout().expect("a deadline");
        t.moderation.handle_timeout(at);
        assert_eq!(t.outputs().1, [ModerationEvent::ShowMuted(false)]);
    }

    #[test]
    fn only_the_focus_of_our_room_mutes_and_nobody_unmutes() {
        let mut t = Bench::new();
        let mute = |from: &str, text: &str| {
            let xml = format!(
                "<iq type='set' id='1' from='{from}'><mute xmlns='http://jitsi.org/jitmeet/audio'>{text}</mute></iq>"
            );
            parse_stanzas(&xml).expect("XML").remove(0)
        };
        for from in ["avm1@muc.meet.test/eve", "other@muc.meet.test/focus", "focus@evil.test/x"] {
            assert!(t.hears(&mute(from, "true")));
            let (sent, events) = t.outputs();
            assert_eq!((sent[0].attr("type"), events.len()), (Some("error"), 0), "{from}");
        }
        assert!(t.hears(&mute(FOCUS, "true")));
        assert_eq!(t.outputs().1.len(), 2);
        assert!(t.hears(&mute(FOCUS, "false")));
        assert_eq!(t.outputs().1, []);
        assert!(t.moderation.is_muted());
        assert!(!t.hears(&mute(FOCUS, "perhaps")));
    }

    #[test]
    fn who_starts_muted_is_told_once_in_the_room() {
        let mut t = Bench::new();
        let muted = Metadata { starts_muted: Some(true), ..Metadata::default() };
        t.moderation.metadata(muted, false);
        assert_eq!(t.outputs().1, []);
        t.moderation.joined();
        let both = [ModerationEvent::ShowMuted(true), ModerationEvent::MutedByModerator];
        assert_eq!(t.outputs().1, both);
        let mut t = Bench::new();
        t.moderation.joined();
        t.moderation.metadata(muted, true);
        assert_eq!(t.outputs().1, [], "later joiners only");
    }
}
