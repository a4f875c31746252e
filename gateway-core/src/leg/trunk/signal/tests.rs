//! The trunk leg in the dialect "the endpoint says / the call wants / the leg says".

use slotmap::KeyData;

use super::*;
use crate::rtp::session::Direction;
use crate::sip::sdp::Description;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n\
    m=audio 5000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n";

struct Leg {
    leg: TrunkSignal,
    now: Instant,
}

impl Leg {
    fn incoming(offer: Option<&str>) -> Self {
        let offer = offer.map(|text| text.as_bytes().to_vec());
        let media = "192.0.2.1:20000".parse().expect("address");
        let policy = SdpPolicy::default();
        let leg = TrunkSignal::incoming(dialog(), offer, media, policy, Rng::from_number(1), false);
        Self { leg, now: Instant::now() }
    }

    fn outgoing(policy: SdpPolicy) -> (Self, String) {
        let media = "192.0.2.1:20000".parse().expect("address");
        let (mut leg, offer) = TrunkSignal::outgoing(media, policy, Rng::from_number(1));
        leg.set_dialog(dialog());
        (Self { leg, now: Instant::now() }, String::from_utf8(offer).expect("ours is UTF-8"))
    }

    fn talking() -> Self {
        let mut leg = Self::incoming(Some(OFFER));
        leg.wants(TrunkCommand::Answer);
        leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: None });
        leg.says();
        leg
    }

    fn hears(&mut self, event: UaEvent) {
        self.leg.handle_input(self.now, TrunkInput::Ua(event));
    }

    fn wants(&mut self, command: TrunkCommand) {
        self.leg.command(self.now, command);
    }

    fn says(&mut self) -> Vec<TrunkOutput> {
        std::iter::from_fn(|| self.leg.poll_output()).collect()
    }

    fn is_offered(&mut self, sdp: &str) -> Vec<TrunkOutput> {
        self.hears(UaEvent::Offered { dialog: dialog(), sdp: sdp.as_bytes().to_vec() });
        self.says()
    }

    fn ends_with(&mut self, how: DialogEnd) -> Vec<TrunkOutput> {
        self.hears(UaEvent::Ended { dialog: dialog(), how });
        self.says()
    }
}

fn dialog() -> DialogKey {
    KeyData::from_ffi(0x1_0000_0001).into()
}

/// Media line 0 of SDP that the leg sent.
fn line(sdp: &[u8]) -> crate::sip::sdp::Media {
    Description::parse(sdp).expect("ours is readable").media.remove(0)
}

fn answer(direction: &str) -> String {
    format!("{OFFER}a={direction}\r\n")
}

fn sdp_of(command: &UaCommand) -> &[u8] {
    match command {
        UaCommand::Accept { sdp, .. }
        | UaCommand::Answer { sdp, .. }
        | UaCommand::Offer { sdp, .. }
        | UaCommand::Ring { sdp: Some(sdp), .. } => sdp,
        other => panic!("no SDP in {other:?}"),
    }
}

#[test]
fn a_call_is_answered_then_configured_then_established() {
    let mut leg = Leg::incoming(Some(OFFER));
    assert_eq!(leg.says(), []);
    assert_eq!(leg.leg.codec(), Some(CodecKind::Pcmu));
    leg.wants(TrunkCommand::Answer);
    let said = leg.says();
    let [TrunkOutput::Ua(accept), TrunkOutput::Configure(session)] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(line(sdp_of(accept)).formats, ["0", "101"]);
    assert_eq!(session.remote_rtp.to_string(), "198.51.100.7:5000");
    leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: None });
    assert_eq!(leg.says(), [TrunkOutput::Established]);
}

#[test]
fn a_ring_before_the_answer_carries_no_sdp_when_the_invite_did() {
    let mut leg = Leg::incoming(Some(OFFER));
    leg.wants(TrunkCommand::Ring);
    let ring = UaCommand::Ring { dialog: dialog(), status: 180, sdp: None };
    assert_eq!(leg.says(), [TrunkOutput::Ua(ring)]);
}

#[test]
fn nothing_in_common_is_488_with_a_warning_and_the_leg_is_over() {
    let mut leg = Leg::incoming(Some(&OFFER.replace("AVP 8 0 101", "AVP 18")));
    let said = leg.says();
    let [TrunkOutput::Ua(UaCommand::Reject { status: 488, cause, warning, .. }), ended] = &said[..]
    else {
        panic!("{said:?}");
    };
    assert_eq!(*cause, Some(65));
    assert_eq!(warning.as_deref(), Some("no codec in common; offered: G729"));
    let reason = EndReason::NoCommonCodec;
    assert_eq!(*ended, TrunkOutput::Ended { reason, status: Some(488) });
    leg.wants(TrunkCommand::Answer);
    assert_eq!(leg.ends_with(DialogEnd::ByUs), []);
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let mut leg = Leg::incoming(None);
    leg.wants(TrunkCommand::Answer);
    let said = leg.says();
    let [TrunkOutput::Ua(accept)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(line(sdp_of(accept)).formats, ["107", "9", "0", "8", "101", "102"]);
    leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: Some(OFFER.into()) });
    let said = leg.says();
    let [TrunkOutput::Configure(session), TrunkOutput::Established] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(session.send_codec, CodecKind::Pcma);
}

#[test]
fn a_late_offer_may_be_answered_in_prack_and_the_200_says_the_same() {
    let mut leg = Leg::incoming(None);
    leg.wants(TrunkCommand::Ring);
    let rang = leg.says();
    leg.hears(UaEvent::ProvisionalAcknowledged { dialog: dialog(), sdp: Some(OFFER.into()) });
    assert!(matches!(leg.says()[..], [TrunkOutput::Configure(_)]));
    leg.wants(TrunkCommand::Answer);
    let accepted = leg.says();
    let (TrunkOutput::Ua(ring), [TrunkOutput::Ua(accept)]) = (&rang[0], &accepted[..]) else {
        panic!("{accepted:?}");
    };
    assert_eq!(sdp_of(ring), sdp_of(accept));
    leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: None });
    assert_eq!(leg.says(), [TrunkOutput::Established]);
}

#[test]
fn an_ack_without_the_awaited_answer_ends_the_call_with_bye() {
    let mut leg = Leg::incoming(None);
    leg.wants(TrunkCommand::Answer);
    leg.says();
    leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: None });
    let reason = EndReason::PeerMisbehaved;
    let bye = UaCommand::End { dialog: dialog(), cause: Some(111) };
    let ended = TrunkOutput::Ended { reason, status: Some(200) };
    assert_eq!(leg.says(), [TrunkOutput::Ua(bye), ended]);
}

#[test]
fn hold_by_the_peer_is_answered_reported_and_taken_back() {
    for hold in ["sendonly", "inactive"] {
        let mut leg = Leg::talking();
        let said = leg.is_offered(&answer(hold));
        let [
            TrunkOutput::Ua(reply),
            TrunkOutput::Configure(session),
            TrunkOutput::HeldByPeer(true),
        ] = &said[..]
        else {
            panic!("{said:?}");
        };
        let expected = if hold == "sendonly" { Direction::RecvOnly } else { Direction::Inactive };
        assert_eq!(session.direction, expected);
        let written = if hold == "sendonly" { "recvonly" } else { "inactive" };
        assert_eq!(line(sdp_of(reply)).direction.name(), written);
        let said = leg.is_offered(OFFER);
        assert!(matches!(
            said[..],
            [TrunkOutput::Ua(_), TrunkOutput::Configure(_), TrunkOutput::HeldByPeer(false)]
        ));
    }
}

#[test]
fn hold_by_a_null_address_keeps_the_real_one_for_later() {
    let mut leg = Leg::talking();
    let said = leg.is_offered(&OFFER.replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0"));
    let [_, TrunkOutput::Configure(session), TrunkOutput::HeldByPeer(true)] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!(session.remote_rtp.to_string(), "198.51.100.7:5000");
    assert_eq!(session.direction, Direction::RecvOnly);
}

#[test]
fn an_unchanged_re_invite_is_answered_with_the_very_same_sdp_and_changes_nothing() {
    let mut leg = Leg::incoming(Some(OFFER));
    leg.wants(TrunkCommand::Answer);
    let first = leg.says();
    leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: None });
    leg.says();
    let again = leg.is_offered(OFFER);
    let (TrunkOutput::Ua(accept), [TrunkOutput::Ua(answer)]) = (&first[0], &again[..]) else {
        panic!("{again:?}");
    };
    assert_eq!(sdp_of(accept), sdp_of(answer));
}

#[test]
fn a_refused_re_invite_keeps_the_old_session() {
    let mut leg = Leg::talking();
    let t38 = OFFER.replace("m=audio 5000 RTP/AVP 8 0 101", "m=image 5002 udptl t38");
    for offer in [t38.as_str(), "nonsense", &OFFER.replace("8 0 101", "3")] {
        let refuse = UaCommand::RefuseOffer { dialog: dialog(), status: 488 };
        assert_eq!(leg.is_offered(offer), [TrunkOutput::Ua(refuse)]);
        assert_eq!(leg.leg.codec(), Some(CodecKind::Pcmu));
    }
    assert!(matches!(leg.is_offered(OFFER)[..], [TrunkOutput::Ua(UaCommand::Answer { .. })]));
}

#[test]
fn our_hold_is_an_offer_and_takes_effect_with_its_answer() {
    let mut leg = Leg::talking();
    leg.wants(TrunkCommand::Hold(true));
    let said = leg.says();
    let [TrunkOutput::Ua(offer @ UaCommand::Offer { .. })] = &said[..] else { panic!("{said:?}") };
    let offered = line(sdp_of(offer));
    assert_eq!((offered.direction.name(), offered.formats.join(" ")), ("sendonly", "0 101".into()));
    let result = Ok(answer("recvonly").into_bytes());
    leg.hears(UaEvent::OfferAnswered { dialog: dialog(), result });
    let said = leg.says();
    let [TrunkOutput::Configure(session)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(session.direction, Direction::SendOnly);
    leg.wants(TrunkCommand::Hold(false));
    let said = leg.says();
    let [TrunkOutput::Ua(offer)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(line(sdp_of(offer)).direction.name(), "sendrecv");
}

#[test]
fn a_refused_hold_leaves_both_talking_and_is_not_repeated() {
    let mut leg = Leg::talking();
    leg.wants(TrunkCommand::Hold(true));
    leg.says();
    leg.hears(UaEvent::OfferAnswered { dialog: dialog(), result: Err(488) });
    assert_eq!(leg.says(), []);
    let said = leg.is_offered(OFFER);
    let [TrunkOutput::Ua(reply)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(line(sdp_of(reply)).direction.name(), "sendrecv");
}

#[test]
fn a_hold_wished_before_the_ack_waits_for_it() {
    let mut leg = Leg::incoming(Some(OFFER));
    leg.wants(TrunkCommand::Hold(true));
    leg.wants(TrunkCommand::Answer);
    assert_eq!(leg.says().len(), 2);
    leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: None });
    let said = leg.says();
    assert!(
        matches!(said[..], [TrunkOutput::Established, TrunkOutput::Ua(UaCommand::Offer { .. })]),
        "{said:?}"
    );
}

#[test]
fn resuming_while_the_hold_is_open_follows_when_it_closes() {
    let mut leg = Leg::talking();
    leg.wants(TrunkCommand::Hold(true));
    leg.wants(TrunkCommand::Hold(false));
    assert_eq!(leg.says().len(), 1);
    let result = Ok(answer("recvonly").into_bytes());
    leg.hears(UaEvent::OfferAnswered { dialog: dialog(), result });
    let said = leg.says();
    let [TrunkOutput::Configure(_), TrunkOutput::Ua(offer)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(line(sdp_of(offer)).direction.name(), "sendrecv");
}

#[test]
fn both_may_hold_and_only_one_resume() {
    let mut leg = Leg::talking();
    leg.wants(TrunkCommand::Hold(true));
    let result = Ok(answer("recvonly").into_bytes());
    leg.hears(UaEvent::OfferAnswered { dialog: dialog(), result });
    leg.says();
    let said = leg.is_offered(&answer("sendonly"));
    let [TrunkOutput::Ua(reply), ..] = &said[..] else { panic!("{said:?}") };
    assert_eq!(line(sdp_of(reply)).direction.name(), "inactive");
    let said = leg.is_offered(OFFER);
    let [TrunkOutput::Ua(reply), ..] = &said[..] else { panic!("{said:?}") };
    assert_eq!(line(sdp_of(reply)).direction.name(), "sendonly");
}

#[test]
fn a_re_invite_without_sdp_gets_all_our_codecs_with_the_one_in_use_first() {
    let mut leg = Leg::talking();
    leg.hears(UaEvent::OfferWanted { dialog: dialog() });
    let said = leg.says();
    let [TrunkOutput::Ua(offer)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(line(sdp_of(offer)).formats, ["0", "107", "9", "8", "101", "102"]);
    let opus = OFFER.replace("AVP 8 0 101", "AVP 107") + "a=rtpmap:107 opus/48000/2\r\n";
    leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: Some(opus.into_bytes()) });
    let said = leg.says();
    let [TrunkOutput::Configure(session)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(session.send_codec, CodecKind::Opus);
}

#[test]
fn a_re_invite_without_sdp_whose_ack_has_none_either_changes_nothing() {
    let mut leg = Leg::talking();
    leg.hears(UaEvent::OfferWanted { dialog: dialog() });
    leg.says();
    leg.hears(UaEvent::Acknowledged { dialog: dialog(), sdp: None });
    assert_eq!(leg.says(), []);
    assert!(matches!(leg.is_offered(OFFER)[..], [TrunkOutput::Ua(UaCommand::Answer { .. })]));
}

#[test]
fn a_call_of_ours_rings_once_and_is_established_by_the_200() {
    let (mut leg, offer) = Leg::outgoing(SdpPolicy::default());
    assert!(offer.contains("m=audio 20000 RTP/AVP 107 9 0 8 101 102\r\n"), "{offer}");
    for status in [180, 183, 180] {
        leg.hears(UaEvent::Progress { dialog: dialog(), status, sdp: None });
    }
    assert_eq!(leg.says(), [TrunkOutput::Ringing]);
    leg.hears(UaEvent::Answered { dialog: dialog(), sdp: Some(OFFER.into()) });
    let said = leg.says();
    assert!(matches!(said[..], [TrunkOutput::Configure(_), TrunkOutput::Established]));
}

#[test]
fn keys_by_info_say_what_and_how_long() {
    let (mut leg, _) = Leg::outgoing(SdpPolicy::default());
    leg.hears(UaEvent::Answered { dialog: dialog(), sdp: Some(OFFER.into()) });
    leg.says();
    let now = Instant::now();
    for key in [Key::Digit(5), Key::Star, Key::Letter(3)] {
        leg.leg.command(now, TrunkCommand::Key(Press::new(key, 160)));
    }
    let info = |key: char| {
        let content_type = "application/dtmf-relay".to_owned();
        let body = format!("Signal={key}\r\nDuration=160\r\n").into_bytes();
        TrunkOutput::Ua(UaCommand::Info { dialog: dialog(), content_type, body })
    };
    assert_eq!(leg.says(), ['5', '*', 'D'].map(info));
}

#[test]
fn early_media_is_used_only_where_it_is_wanted() {
    for early_media in [false, true] {
        let policy = SdpPolicy { early_media, ..SdpPolicy::default() };
        let (mut leg, _) = Leg::outgoing(policy);
        let sdp = Some(OFFER.into());
        leg.hears(UaEvent::Progress { dialog: dialog(), status: 183, sdp });
        let said = leg.says();
        let is_told = said.iter().any(|it| matches!(it, TrunkOutput::EarlyMedia(_)));
        assert_eq!((said.len(), is_told), (1 + usize::from(early_media), early_media));
    }
}

#[test]
fn a_200_without_sdp_after_a_183_with_sdp_takes_the_answer_of_the_183() {
    for early_media in [false, true] {
        let policy = SdpPolicy { early_media, ..SdpPolicy::default() };
        let (mut leg, _) = Leg::outgoing(policy);
        let sdp = Some(OFFER.into());
        leg.hears(UaEvent::Progress { dialog: dialog(), status: 183, sdp });
        leg.hears(UaEvent::Progress { dialog: dialog(), status: 180, sdp: None });
        leg.hears(UaEvent::Answered { dialog: dialog(), sdp: None });
        let said = leg.says();
        assert_eq!(said.last(), Some(&TrunkOutput::Established));
        assert_eq!(leg.leg.codec(), Some(CodecKind::Pcma));
    }
}

#[test]
fn a_200_may_answer_otherwise_than_the_183_did() {
    let policy = SdpPolicy { early_media: true, ..SdpPolicy::default() };
    let (mut leg, _) = Leg::outgoing(policy);
    let sdp = Some(OFFER.into());
    leg.hears(UaEvent::Progress { dialog: dialog(), status: 183, sdp });
    leg.says();
    let moved = OFFER.replace("audio 5000 RTP/AVP 8 0", "audio 6000 RTP/AVP 0");
    leg.hears(UaEvent::Answered { dialog: dialog(), sdp: Some(moved.into_bytes()) });
    let said = leg.says();
    let [TrunkOutput::Configure(session), TrunkOutput::Established] = &said[..] else {
        panic!("{said:?}");
    };
    assert_eq!((session.send_codec, session.remote_rtp.port()), (CodecKind::Pcmu, 6000));
}

#[test]
fn a_200_with_an_unusable_answer_is_ended_with_bye() {
    let (mut leg, _) = Leg::outgoing(SdpPolicy::default());
    let sdp = Some(OFFER.replace("8 0 101", "18").into_bytes());
    leg.hears(UaEvent::Answered { dialog: dialog(), sdp });
    let reason = EndReason::NoCommonCodec;
    let bye = UaCommand::End { dialog: dialog(), cause: Some(65) };
    let ended = TrunkOutput::Ended { reason, status: Some(200) };
    assert_eq!(leg.says(), [TrunkOutput::Ua(bye), ended]);
}

#[test]
fn each_end_of_a_dialog_has_its_reason_and_status() {
    let ends = [
        (DialogEnd::ByeReceived, EndReason::CallerHungUp, Some(200)),
        (DialogEnd::AckTimeout, EndReason::AckNeverCame, Some(200)),
        (DialogEnd::SessionExpired, EndReason::SessionExpired, Some(200)),
        (DialogEnd::PeerForgot, EndReason::PeerGone, Some(200)),
        (DialogEnd::TransportFailed, EndReason::PeerGone, Some(200)),
    ];
    for (how, reason, status) in ends {
        assert_eq!(Leg::talking().ends_with(how), [TrunkOutput::Ended { reason, status }]);
    }
    let reason = EndReason::CallerCancelled;
    let cancelled = TrunkOutput::Ended { reason, status: Some(487) };
    assert_eq!(Leg::incoming(Some(OFFER)).ends_with(DialogEnd::Cancelled), [cancelled]);
    let refused = [
        (DialogEnd::Rejected(486), EndReason::Refused, Some(486)),
        (DialogEnd::TimedOut, EndReason::NoAnswer, Some(408)),
    ];
    for (how, reason, status) in refused {
        let (mut leg, _) = Leg::outgoing(SdpPolicy::default());
        assert_eq!(leg.ends_with(how), [TrunkOutput::Ended { reason, status }]);
    }
}

#[test]
fn the_end_is_said_once_whoever_began_it() {
    let mut leg = Leg::talking();
    leg.wants(TrunkCommand::End(EndReason::TooLong));
    assert_eq!(leg.says().len(), 2);
    leg.wants(TrunkCommand::End(EndReason::Operator));
    leg.wants(TrunkCommand::Hold(true));
    leg.hears(UaEvent::Offered { dialog: dialog(), sdp: OFFER.into() });
    assert_eq!(leg.ends_with(DialogEnd::ByUs), []);
}

#[test]
fn a_refusal_for_overload_says_when_to_come_back() {
    let mut leg = Leg::incoming(Some(OFFER));
    leg.wants(TrunkCommand::End(EndReason::Overloaded));
    let said = leg.says();
    let [TrunkOutput::Ua(UaCommand::Reject { status: 503, retry_after: Some(_), .. }), _] =
        &said[..]
    else {
        panic!("{said:?}");
    };
}

/// Programs behind an exchange may depend on it.
#[test]
fn a_caller_who_was_alone_too_long_reads_what_jigasi_wrote() {
    let capture = include_str!("../../../../../testdata/jigasi/empty-room-answered.sip.txt");
    assert!(capture.lines().any(|line| line == format!("Reason: {NOBODY_CAME}")), "{capture}");
}
