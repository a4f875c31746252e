//! The conference request: asks the focus to make (or keep) a conference, before a room is joined. By IQ or by HTTP.

use minidom::Element;
use serde_json::Value;

use super::build::element;
use super::exchange::StanzaError;
use super::iq;
use super::ns;

/// What is asked of the focus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConferenceRequest<'a> {
    /// Address of the room.
    pub room: &'a str,
    /// Same for all requests of one leg: the focus ties a login session to it.
    pub machine_uid: &'a str,
    /// Session id of an earlier answer (authenticating deployments).
    pub session_id: Option<&'a str>,
    /// We know what a visitor node is, and wish to be a visitor (true) or not. `None`: we know of no such thing.
    pub visitor: Option<bool>,
}

impl<'a> ConferenceRequest<'a> {
    /// Reads the `<conference>` of a request.
    pub fn read(conference: &'a Element) -> Option<Self> {
        let property = |name: &str| {
            let is_it = |it: &&Element| it.name() == "property" && it.attr("name") == Some(name);
            conference.children().find(is_it).and_then(|it| it.attr("value"))
        };
        Some(Self {
            room: conference.attr("room")?,
            machine_uid: conference.attr("machine-uid")?,
            session_id: conference.attr("session-id"),
            visitor: property("visitors-version").map(|_| property("visitor") == Some("true")),
        })
    }

    /// As IQ to the focus component.
    pub fn iq(&self, id: &str, focus: &str) -> Element {
        let property =
            |(name, value)| element("property", ns::FOCUS).attr("name", name).attr("value", value);
        let conference = element("conference", ns::FOCUS)
            .attr("room", self.room)
            .attr("machine-uid", self.machine_uid)
            .maybe("session-id", self.session_id)
            .children(self.properties().map(property));
        iq::set(id, focus, conference.build())
    }

    /// As body of the HTTP request.
    pub fn json(&self) -> String {
        let mut body = serde_json::json!({ "room": self.room, "machineUid": self.machine_uid });
        if let Some(session) = self.session_id {
            body["sessionId"] = session.into();
        }
        for (name, value) in self.properties() {
            body["properties"][name] = value.into();
        }
        body.to_string()
    }

    fn properties(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let able = self.visitor.map(|_| ("visitors-version", "1"));
        let wish = self.visitor.filter(|wish| *wish).map(|_| ("visitor", "true"));
        able.into_iter().chain(wish)
    }
}

/// What the focus answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConferenceAnswer {
    /// The focus is in the room: join now. Otherwise ask again later.
    pub is_ready: bool,
    /// Real address of the focus.
    pub focus: Option<String>,
    /// To be given back in later requests.
    pub session_id: Option<String>,
    /// Name of the visitor node we are sent to.
    pub visitor_node: Option<String>,
    /// `false`: the meeting is not open yet.
    pub is_live: Option<bool>,
}

impl ConferenceAnswer {
    /// Reads the `<conference>` of a result.
    pub fn read(conference: &Element) -> Option<Self> {
        if !conference.is("conference", ns::FOCUS) {
            return None;
        }
        let text = |name: &str| conference.attr(name).map(str::to_owned);
        let live = conference
            .children()
            .find(|it| it.name() == "property" && it.attr("name") == Some("live"))
            .and_then(|it| it.attr("value"));
        Some(Self {
            is_ready: conference.attr("ready") == Some("true"),
            focus: text("focusjid"),
            session_id: text("session-id"),
            visitor_node: text("vnode"),
            is_live: live.map(|value| value == "true"),
        })
    }

    /// The `<conference>` that says so.
    pub fn write(&self) -> Element {
        let live = self.is_live.map(|is_live| {
            element("property", ns::FOCUS).attr("name", "live").attr("value", is_live.to_string())
        });
        element("conference", ns::FOCUS)
            .attr("ready", self.is_ready.to_string())
            .maybe("focusjid", self.focus.as_ref())
            .maybe("session-id", self.session_id.as_ref())
            .maybe("vnode", self.visitor_node.as_ref())
            .children(live)
            .build()
    }

    /// Reads the body of an HTTP answer.
    pub fn read_json(body: &str) -> Option<Self> {
        if body.len() > JSON_MAX {
            return None;
        }
        let body: Value = serde_json::from_str(body).ok()?;
        let text = |name: &str| body[name].as_str().map(str::to_owned);
        Some(Self {
            is_ready: body["ready"].as_bool()?,
            focus: text("focusJid"),
            session_id: text("sessionId"),
            visitor_node: text("vnode"),
            is_live: body["properties"]["live"].as_str().map(|value| value == "true"),
        })
    }
}

/// Why the focus refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConferenceRefused {
    /// A login is needed: asking again does not help.
    NotAuthorized,
    /// Our session id is stale: ask again without it.
    SessionInvalid,
    /// A reservation system said no.
    Reservation,
    /// There is no focus, or it is not well now: ask again.
    Unavailable,
}

impl ConferenceRefused {
    /// Reads the error of an answer.
    pub fn read(error: &StanzaError<'_>) -> Self {
        if error.element.has_child("session-invalid", ns::FOCUS) {
            return Self::SessionInvalid;
        }
        if error.element.has_child("reservation-error", ns::FOCUS) {
            return Self::Reservation;
        }
        match error.condition {
            "not-authorized" | "forbidden" => Self::NotAuthorized,
            _ => Self::Unavailable,
        }
    }
}

/// An answer is about 200 bytes.
const JSON_MAX: usize = 16 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::Capture;
    use crate::jitsi::stanza::exchange::Iq;

    #[test]
    fn the_request_is_what_the_capture_sent_and_its_answer_is_understood() {
        let capture = Capture::stanzas("04-first-join");
        let sent = capture.sent("A").next().expect("the request");
        let asked = sent.get_child("conference", ns::FOCUS).expect("conference");
        let ours = ConferenceRequest {
            room: "rooma@muc.meet.test",
            machine_uid: asked.attr("machine-uid").expect("a uid"),
            session_id: None,
            visitor: None,
        };
        assert_eq!(ours.iq(sent.attr("id").expect("an id"), "focus.meet.test"), *sent);
        let received = capture.received("A").next().expect("the answer");
        let iq = Iq::read(received).expect("an iq");
        let answer = ConferenceAnswer::read(iq.payload.expect("a payload")).expect("an answer");
        let focus = Some("focus@auth.meet.test".to_owned());
        assert_eq!(answer, ConferenceAnswer { is_ready: true, focus, ..Default::default() });
    }

    #[test]
    fn the_answer_over_http_says_the_same() {
        let file = include_str!("../../../../testdata/jitsi/03-conference-request-http.json");
        let file: Value = serde_json::from_str(file).expect("JSON");
        let answer = ConferenceAnswer::read_json(&file["response"].to_string()).expect("an answer");
        assert!(answer.is_ready);
        assert_eq!(answer.focus.as_deref(), Some("focus@auth.meet.test"));
        assert_eq!(ConferenceAnswer::read(&answer.write()), Some(answer));
        let waits = ConferenceAnswer { is_live: Some(false), ..ConferenceAnswer::default() };
        assert_eq!(ConferenceAnswer::read(&waits.write()), Some(waits));
        let ours = ConferenceRequest {
            room: "http1@muc.meet.test",
            machine_uid: "abc",
            session_id: None,
            visitor: None,
        };
        assert!(!ours.json().contains("properties"));
        let ours: Value = serde_json::from_str(&ours.json()).expect("JSON");
        assert_eq!(ours["room"], file["request"]["body"]["room"]);
        assert_eq!(ours["machineUid"], file["request"]["body"]["machineUid"]);
        assert_eq!(ConferenceAnswer::read_json("{}"), None);
        assert_eq!(ConferenceAnswer::read_json(&"[".repeat(20_000)), None);
    }
    #[test]
    fn who_may_be_a_visitor_says_so_by_both_ways() {
        for (visitor, said) in [(None, 0), (Some(false), 1), (Some(true), 2)] {
            let ours =
                ConferenceRequest { room: "a@b", machine_uid: "u", session_id: None, visitor };
            let iq = ours.iq("1", "focus.meet.test");
            let asked = iq.get_child("conference", ns::FOCUS).expect("a conference");
            assert_eq!(asked.children().count(), said);
            assert_eq!(ConferenceRequest::read(asked), Some(ours.clone()));
            let json: Value = serde_json::from_str(&ours.json()).expect("JSON");
            let properties = json["properties"].as_object().map_or(0, serde_json::Map::len);
            assert_eq!(properties, said);
        }
    }
}
