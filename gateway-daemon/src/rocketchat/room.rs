//! From the address of a Rocket.Chat call to the name of its Jitsi room, and back to the call.
//!
//! The official Jitsi app makes `http(s)://HOST[/TENANT]/PREFIX + (call id or a name) + SUFFIX`; joining adds
//! `?jwt=` and `#config...`. Jitsi compares rooms without case. A room of another host, prefix or suffix is not ours: it
//! stays plain, nothing is minted or posted for it.

use gateway_core::leg::backend::RoomName;

use super::ids::Id;

/// Whose rooms are whose: one workspace's share of a Jitsi deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Hosts that the links of this workspace name, lower case, without port.
    pub hosts: Vec<String>,
    /// What the Jitsi app puts before the call id (`jitsi_title_prefix`), lower case.
    pub prefix: String,
    /// What it puts after it (`jitsi_title_suffix`), lower case.
    pub suffix: String,
}

/// Why an address leads to no room of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotOurs {
    /// No web address with a room.
    #[error("is no address of a room")]
    NoRoom,
    /// Another host.
    #[error("is on another host")]
    OtherHost,
    /// Prefix or suffix differ: another workspace's room, or nobody's.
    #[error("has another prefix or suffix")]
    OtherOrigin,
    /// A room of a tenant, `/TENANT/ROOM`: as JaaS has them, whose rooms are not on the host itself.
    #[error("belongs to a tenant, whose rooms phones cannot join yet")]
    Tenant,
}

impl Origin {
    /// The room behind a call's address.
    pub fn room_of_url(&self, url: &str) -> Result<RoomName, NotOurs> {
        let (host, tenant, room) = split(url).ok_or(NotOurs::NoRoom)?;
        if !self.hosts.contains(&host) {
            return Err(NotOurs::OtherHost);
        }
        let room = RoomName::new(&decoded(room).ok_or(NotOurs::NoRoom)?);
        let room = room.map_err(|_| NotOurs::NoRoom)?;
        if self.inner(&room).is_none() {
            return Err(NotOurs::OtherOrigin);
        }
        tenant.map_or(Ok(room), |_| Err(NotOurs::Tenant))
    }

    /// The call whose room this is. Rooms that people named (`/jitsi tea`) have none in their name.
    pub fn call_of_room(&self, room: &RoomName) -> Option<Id> {
        let inner = self.inner(room)?;
        let is_call = inner.len() == CALL_ID_DIGITS
            && inner.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_call.then(|| Id::new(inner)).flatten()
    }

    /// Whether two workspaces could claim the same room.
    pub fn overlaps(&self, other: &Self) -> bool {
        let nested = |a: &str, b: &str| a.starts_with(b) || b.starts_with(a);
        let ends = |a: &str, b: &str| a.ends_with(b) || b.ends_with(a);
        self.hosts.iter().any(|host| other.hosts.contains(host))
            && nested(&self.prefix, &other.prefix)
            && ends(&self.suffix, &other.suffix)
    }

    /// What stands between prefix and suffix; `None`: not ours, or nothing.
    fn inner<'a>(&self, room: &'a RoomName) -> Option<&'a str> {
        let inner =
            room.as_str().strip_prefix(self.prefix.as_str())?.strip_suffix(self.suffix.as_str())?;
        (!inner.is_empty()).then_some(inner)
    }
}

/// Host in lower case, tenant and room as they stand. Names may hold anything the user typed, blanks and letters of any
/// language among them, so that this is no strict reader of URLs.
fn split(url: &str) -> Option<(String, Option<&str>, &str)> {
    if url.len() > URL_BYTES_MAX {
        return None;
    }
    let (scheme, rest) = url.trim().split_once("://")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let path_end = rest.find(['?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.get(..path_end)?.split_once('/')?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?.0,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let (first, second) = (parts.next()?, parts.next());
    if host.is_empty() || parts.next().is_some() {
        return None;
    }
    match second {
        Some(room) => Some((host.to_lowercase(), Some(first), room)),
        None => Some((host.to_lowercase(), None, first)),
    }
}

/// Percent-decoded once; what is no escape stays. `None`: not UTF-8.
fn decoded(text: &str) -> Option<String> {
    let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = match byte {
            b'%' => digit(bytes.get(at + 1)).zip(digit(bytes.get(at + 2))),
            _ => None,
        };
        match escaped.and_then(|(high, low)| u8::try_from(high << 4 | low).ok()) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8(out).ok()
}

/// A MongoDB ObjectId in hexadecimal.
const CALL_ID_DIGITS: usize = 24;
/// A link with a token in it is rarely above 2 KiB.
const URL_BYTES_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(prefix: &str, suffix: &str) -> Origin {
        Origin {
            hosts: vec!["meet.example.org".to_owned(), "8x8.vc".to_owned()],
            prefix: prefix.to_lowercase(),
            suffix: suffix.to_lowercase(),
        }
    }

    fn room(url: &str) -> Result<String, NotOurs> {
        origin("RocketChat", "").room_of_url(url).map(|room| room.as_str().to_owned())
    }

    #[test]
    fn every_form_of_the_jitsi_app_is_read() {
        for (url, wanted) in [
            (
                "https://meet.example.org/RocketChat6657aABBcc0011223344556f",
                "rocketchat6657aabbcc0011223344556f",
            ),
            ("http://MEET.example.org:8443/RocketChattea", "rocketchattea"),
            (
                "https://meet.example.org/RocketChattea?jwt=a.b.c#config.prejoin=false",
                "rocketchattea",
            ),
            (
                "https://meet.example.org/RocketChattea#userInfo.displayName=\"A/B\"",
                "rocketchattea",
            ),
            ("https://meet.example.org/RocketChatTea%20Time", "rocketchattea time"),
            ("https://meet.example.org/RocketChatTea Time", "rocketchattea time"),
            ("https://meet.example.org/RocketChatЧай", "rocketchatчай"),
            ("https://meet.example.org/RocketChat%D0%A7%D0%B0%D0%B9", "rocketchatчай"),
            ("https://meet.example.org/RocketChat100%", "rocketchat100%"),
        ] {
            assert_eq!(room(url).as_deref(), Ok(wanted), "{url}");
        }
    }

    #[test]
    fn rooms_of_others_are_left_alone() {
        for (url, why) in [
            ("https://evil.example/RocketChattea", NotOurs::OtherHost),
            ("https://meet.example.org@evil.example/RocketChattea", NotOurs::OtherHost),
            ("https://meet.example.org/tea", NotOurs::OtherOrigin),
            ("https://meet.example.org/RocketChat", NotOurs::OtherOrigin),
            ("https://meet.example.org/", NotOurs::NoRoom),
            ("https://meet.example.org", NotOurs::NoRoom),
            ("ftp://meet.example.org/RocketChattea", NotOurs::NoRoom),
            ("https://meet.example.org/RocketChat%FF", NotOurs::NoRoom),
            ("https://meet.example.org/a/b/RocketChattea", NotOurs::NoRoom),
            ("https://meet.example.org/RocketChat%00", NotOurs::NoRoom),
            ("https://8x8.vc/vpaas-magic-cookie-1/RocketChattea", NotOurs::Tenant),
            ("", NotOurs::NoRoom),
        ] {
            assert_eq!(room(url), Err(why), "{url}");
        }
    }

    #[test]
    fn a_room_tells_its_call() {
        let name = |text: &str| RoomName::new(text).expect("a name");
        let ours = origin("RocketChat", "-x");
        let call = ours.call_of_room(&name("ROCKETCHAT6657aabbcc0011223344556f-X"));
        assert_eq!(call.as_ref().map(Id::as_str), Some("6657aabbcc0011223344556f"));
        for other in
            ["rocketchattea-x", "rocketchat6657aabbcc0011223344556f", "tea", "rocketchat-x"]
        {
            assert_eq!(ours.call_of_room(&name(other)), None, "{other}");
        }
    }

    /// See testdata/rocketchat/README.md.
    #[test]
    fn addresses_of_the_official_app_are_read() {
        let recorded = include_str!("../../../testdata/rocketchat/jitsi-app-urls.json");
        let recorded: Vec<serde_json::Value> = serde_json::from_str(recorded).expect("JSON");
        let (mut rooms, mut calls) = (0, 0);
        for case in &recorded {
            let text = |value: &serde_json::Value| value.as_str().expect("a text").to_owned();
            let setting = |name: &str| text(&case["settings"][name]).to_lowercase();
            let domain = setting("jitsi_domain");
            let ours = Origin {
                hosts: vec![domain.split(':').next().unwrap_or_default().to_owned()],
                prefix: setting("jitsi_title_prefix"),
                suffix: setting("jitsi_title_suffix"),
            };
            let (url, joined) = (text(&case["url"]), text(&case["joined"]));
            let room = ours.room_of_url(&url);
            assert_eq!(room, ours.room_of_url(&joined), "{joined}");
            if case["why"] == "JaaS" {
                assert_eq!(room, Err(NotOurs::Tenant));
                continue;
            }
            let room = room.unwrap_or_else(|why| panic!("{url}: {why}"));
            rooms += 1;
            if case["room_name"].is_null() {
                let call = ours.call_of_room(&room).expect("its call");
                assert_eq!(call.as_str(), "6657aabbcc0011223344556f");
                calls += 1;
            }
        }
        assert!(rooms > 8 && calls > 4, "{rooms} {calls}");
    }

    #[test]
    fn workspaces_share_a_deployment_by_prefix() {
        assert!(!origin("acme-", "").overlaps(&origin("beta-", "")));
        assert!(origin("rc", "").overlaps(&origin("rc-beta", "")));
        assert!(!origin("rc", "-one").overlaps(&origin("rc", "-two")));
        let elsewhere = Origin { hosts: vec!["other.test".to_owned()], ..origin("rc", "") };
        assert!(!origin("rc", "").overlaps(&elsewhere));
    }
}
