//! The mute request: a moderator's (through the focus) to us, or ours to the focus to speak again.

use minidom::Element;

use super::build::element;
use super::exchange::Iq;
use super::iq::{self, Kind};

/// Namespace for audio; `video` and `desktop` have their own and mean nothing to a phone.
pub const MUTE_AUDIO: &str = "http://jitsi.org/jitmeet/audio";

/// A mute request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MuteRequest {
    /// Off, or on again.
    pub muted: bool,
    /// About whom; today's focus leaves it out: it is about us.
    pub target: Option<String>,
    /// Who wants it; none where the focus does it on its own (AV moderation).
    pub actor: Option<String>,
}

impl MuteRequest {
    /// Reads a request.
    pub fn read(iq: &Iq<'_>) -> Option<Self> {
        let mute = iq.payload.filter(|it| iq.kind == Kind::Set && it.is("mute", MUTE_AUDIO))?;
        Some(Self {
            muted: match mute.text().trim() {
                "true" => true,
                "false" => false,
                _ => return None,
            },
            target: mute.attr("jid").map(str::to_owned),
            actor: mute.attr("actor").map(str::to_owned),
        })
    }
}

/// Asks the focus to let us speak (`muted: false`), or tells that we do not.
pub fn own_mute(id: &str, focus: &str, own: &str, muted: bool) -> Element {
    let text = if muted { "true" } else { "false" };
    iq::set(id, focus, element("mute", MUTE_AUDIO).attr("jid", own).text(text).build())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::Capture;

    #[test]
    fn mute_requests_of_the_captures_have_no_target() {
        let requests = |name: &str, client: &str| -> Vec<MuteRequest> {
            let capture = Capture::stanzas(name);
            let iqs = capture.received(client).filter_map(|it| MuteRequest::read(&Iq::read(it)?));
            iqs.collect()
        };
        let actor = Some("rooma@muc.meet.test/fddac50f".to_owned());
        assert_eq!(requests("09-mute", "D"), [MuteRequest { muted: true, target: None, actor }]);
        let on_its_own = requests("60-av-moderation", "D").remove(0);
        assert_eq!(on_its_own, MuteRequest { muted: true, target: None, actor: None });
    }

    #[test]
    fn our_wish_to_speak_is_what_the_capture_sent() {
        let capture = Capture::stanzas("60-av-moderation");
        let sent = capture.sent("D").find(|it| it.attr("id") == Some("u1")).expect("the wish");
        let ours = own_mute("u1", "avm1@muc.meet.test/focus", "avm1@muc.meet.test/328d57b2", false);
        assert_eq!(ours, *sent);
    }
}
