//! Headers of a dial: which the telephone side may see, and which the room. Whoever dials is a stranger: only what cannot
//! change the call goes out.

use gateway_core::base::pii::Pii;
use gateway_core::jitsi::brewery::dials::Order;

/// Header that says which conference it is, as Jigasi writes it.
const ROOM: &str = "Jitsi-Conference-Room";
/// Header that says that we call; in presence the leg writes it by itself.
const DIRECTION: &str = "JigasiCallDirection";
/// Header that names the number to show.
const FROM: &str = "From";
/// Beginnings of headers that mean nothing to a SIP stack.
const SHAPES: [&str; 3] = ["x-", "jitsi-", "jigasi"];
/// Bytes of one value on the way out.
const VALUE_MAX: usize = 512;
/// Bytes of all of them: an INVITE with SDP must fit into a datagram.
const ALL_MAX: usize = 2_048;

/// Headers of the INVITE, in Jigasi's order: the conference, those of the dial, the direction.
pub fn for_phone(order: &Order) -> Vec<(String, Pii<String>)> {
    let mut headers = vec![(ROOM.to_owned(), Pii::new(order.conference.clone()))];
    let mut bytes = 0;
    for (name, value) in
        order.headers.iter().filter(|(name, value)| may_go_out(name, value.reveal()))
    {
        bytes += name.len() + value.reveal().len();
        let is_there = headers.iter().any(|(it, _)| it.eq_ignore_ascii_case(name));
        if bytes <= ALL_MAX && !is_there {
            headers.push((name.clone(), value.clone()));
        }
    }
    headers.push((DIRECTION.to_owned(), Pii::new("out".to_owned())));
    headers
}

/// Headers that everybody in the room sees: Prosody's plugins count calls by them.
pub fn for_room(order: &Order) -> Vec<(String, Pii<String>)> {
    let is_ours = |name: &str| name.eq_ignore_ascii_case(DIRECTION);
    order.headers.iter().filter(|(name, _)| !is_ours(name)).cloned().collect()
}

/// The number a header says to show.
pub fn from(order: &Order) -> Option<&str> {
    let named = order.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(FROM));
    named.map(|(_, value)| value.reveal().as_str())
}

fn may_go_out(name: &str, value: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is_plain = SHAPES.iter().any(|shape| lower.starts_with(shape) && lower.len() > shape.len());
    let is_ours = lower.eq_ignore_ascii_case(DIRECTION);
    let is_text =
        !value.is_empty() && value.len() <= VALUE_MAX && !value.chars().any(char::is_control);
    is_word && is_plain && !is_ours && is_text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(headers: &[(&str, &str)]) -> Order {
        let pii = |text: &str| Pii::new(text.to_owned());
        Order {
            to: pii("+62"),
            from: None,
            conference: "tea@muc.meet.test".to_owned(),
            room: "tea".to_owned(),
            tenant: None,
            password: None,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), pii(value))).collect(),
        }
    }

    fn names(headers: &[(String, Pii<String>)]) -> Vec<&str> {
        headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn the_invite_has_what_jigasi_wrote() {
        let headers = for_phone(&order(&[("X-Test", "42")]));
        let shown: Vec<String> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.reveal())).collect();
        let captured =
            ["Jitsi-Conference-Room: tea@muc.meet.test", "X-Test: 42", "JigasiCallDirection: out"];
        assert_eq!(shown, captured);
        assert_eq!(names(&for_room(&order(&[("X-Test", "42")]))), ["X-Test"]);
    }

    #[test]
    fn nothing_that_steers_a_call_goes_out() {
        let bad = [
            "Route",
            "Via",
            "Contact",
            "Authorization",
            "Proxy-Authorization",
            "Record-Route",
            "From",
            "To",
            "Call-ID",
            "CSeq",
            "Max-Forwards",
            "Content-Type",
            "Content-Length",
            "Require",
            "Refer-To",
            "P-Asserted-Identity",
            "Diversion",
            "Remote-Party-ID",
            "Privacy",
            "i",
            "v",
            "X-",
            "X Test",
            "X-Te:st",
            "Jitsi-Conference-Room",
            "jigasicalldirection",
            "",
        ];
        for name in bad {
            let headers = for_phone(&order(&[(name, "1")]));
            assert_eq!(names(&headers), [ROOM, DIRECTION], "{name}");
        }
        for value in ["", "a\r\nRoute: b", &"1".repeat(VALUE_MAX + 1)] {
            assert_eq!(for_phone(&order(&[("X-Test", value)])).len(), 2, "{value}");
        }
        let long = "1".repeat(VALUE_MAX);
        let many = ["X-A", "X-B", "X-C", "X-D", "X-E", "X-F"].map(|name| (name, long.as_str()));
        assert_eq!(for_phone(&order(&many)).len(), 2 + 3, "an INVITE stays small");
    }
}
