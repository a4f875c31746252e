//! `[dial_in]` and `[[dial_in_number]]`: what Jitsi Meet's own dial-in page shows.

use gateway_core::base::pii::Pii;

use super::api::secret_of;
use super::number::Pattern;
use super::raw::{Raw, Section};
use super::schema::{Kind, SectionDecl, key, needed, whole};
use super::typed::Judge;
use super::values::count;

/// Keys of `[dial_in]`.
pub(super) const DIAL_IN: SectionDecl = SectionDecl {
    name: "dial_in",
    many: false,
    commented: false,
    about: "Number and PIN in Jitsi Meet's own invitation. `docs/dial-in.md` says how to join the two.",
    keys: &[
        key(
            "enabled",
            Kind::Flag,
            "false",
            "Serve /phoneNumberList and /conferenceMapper on [http] listen, to everybody who reaches it.",
        ),
        key(
            "rooms",
            Kind::Texts,
            "[]",
            "Names of rooms that get a PIN though nobody is there yet, `?` for one character, `*` for any rest. Rooms in \
             which a phone is, or that room_size says are there, get one without. [\"*\"] lets \
             anybody fill the registry, at per_minute.",
        ),
        key(
            "room_size",
            Kind::Text,
            r#""""#,
            "Where Prosody's mod_muc_size says whether a room is there: \"http://127.0.0.1:5280/room-size\". Empty: nobody \
             is asked.",
        ),
        key(
            "token_file",
            Kind::Text,
            r#""""#,
            "A file that not everybody may read, with the token that a PBX must send to learn which room a PIN opens. Empty: \
             nobody may ask.",
        ),
        key(
            "origins",
            Kind::Texts,
            "[]",
            "Pages on other hosts that may ask: [\"https://meet.example.org\"]. None are needed where a proxy serves both \
             under one name.",
        ),
        key(
            "per_minute",
            whole(1, 10_000, "questions"),
            "30",
            "Questions for PINs by one address in a minute; ten times as many by all.",
        ),
        key(
            "numbers_by_country",
            Kind::Flag,
            "false",
            "Write the numbers in the old form, by country, for clients before 2019.",
        ),
    ],
};

/// Keys of `[[dial_in_number]]`.
pub(super) const DIAL_IN_NUMBER: SectionDecl = SectionDecl {
    name: "dial_in_number",
    many: true,
    commented: true,
    about: "A number that leads to the PIN dialogue.",
    keys: &[
        needed("number", Kind::Text, r#""+62 21-555-0100""#, "As people should read and dial it."),
        needed(
            "country",
            Kind::Text,
            r#""ID""#,
            "Two letters of ISO 3166 for the flag beside it; \"SIP\" where `number` is a SIP address.",
        ),
        key("toll_free", Kind::Flag, "false", "The caller pays nothing."),
        key(
            "default",
            Kind::Flag,
            "false",
            "Shown first. One number may say so; where none does, the first one is.",
        ),
    ],
};

/// `[dial_in]`, where it is enabled.
#[derive(Clone, Debug)]
pub struct DialIn {
    /// Rooms that need nobody in them.
    pub rooms: Vec<Pattern>,
    /// Host, port and path of mod_muc_size.
    pub room_size: Option<RoomSize>,
    /// Token for questions about PINs.
    pub token: Option<Pii<String>>,
    /// Pages on other hosts.
    pub origins: Vec<String>,
    /// Questions by one address.
    pub per_minute: u32,
    /// The old form of the list.
    pub by_country: bool,
    /// The numbers, one of them the default.
    pub numbers: Vec<Number>,
}

/// Where mod_muc_size is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomSize {
    /// Host and port.
    pub authority: String,
    /// Path, from its slash.
    pub path: String,
}

/// `[[dial_in_number]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// As people read it.
    pub number: String,
    /// Two letters, or `SIP`.
    pub country: String,
    /// The caller pays nothing.
    pub toll_free: bool,
    /// Shown first.
    pub is_default: bool,
}

impl Judge<'_> {
    /// `None` inside: not enabled.
    pub(super) fn dial_in(&mut self, raw: &Raw) -> Option<Option<DialIn>> {
        let section = raw.one("dial_in");
        let enabled = section.flag("enabled");
        let numbers: Vec<Option<Number>> =
            raw.many("dial_in_number").map(|section| self.number(section)).collect();
        let mut numbers: Vec<Number> = numbers.into_iter().collect::<Option<_>>()?;
        for second in raw.many("dial_in_number").filter(|it| it.flag("default")).skip(1) {
            self.say(
                second,
                "default",
                "another number is the default already; remove one of them",
            );
        }
        if let Some(first) = numbers.first_mut()
            && !raw.many("dial_in_number").any(|it| it.flag("default"))
        {
            first.is_default = true;
        }
        if enabled && raw.one("http").text("listen").is_empty() {
            self.say(section, "enabled", "needs [http] listen; write \"127.0.0.1:8788\" there");
        }
        if enabled && numbers.is_empty() {
            self.say(section, "enabled", "needs a number to show; add [[dial_in_number]]");
        }
        let mut rooms = Vec::new();
        for text in section.texts("rooms") {
            match Pattern::new(text) {
                Some(pattern) => rooms.push(pattern),
                None => self.say(section, "rooms", "an empty name fits nothing; remove it"),
            }
        }
        let room_size = match section.text("room_size") {
            "" => None,
            url => Some(self.keep(section, "room_size", room_size(url))?),
        };
        let origins = section.texts("origins").to_vec();
        for origin in &origins {
            let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', ' ', '*'])) {
                let what = format!("{origin:?} is no origin; write \"https://meet.example.org\"");
                self.say(section, "origins", what);
            }
        }
        let token = match self.path(section, "token_file") {
            None => None,
            Some(file) => self.keep(section, "token_file", secret_of(&file)),
        };
        Some(enabled.then_some(DialIn {
            rooms,
            room_size,
            token,
            origins,
            per_minute: count(section.whole("per_minute")) as u32,
            by_country: section.flag("numbers_by_country"),
            numbers,
        }))
    }

    fn number(&mut self, section: &Section) -> Option<Number> {
        let number = self.header_text(section, "number");
        let country = section.text("country").to_uppercase();
        let is_country =
            country.len() == 2 && country.bytes().all(|sign| sign.is_ascii_uppercase());
        if section.given("country") && !is_country && country != "SIP" {
            self.say(section, "country", "is no country; write two letters, \"ID\", or \"SIP\"");
            return None;
        }
        let digits = number.bytes().filter(u8::is_ascii_digit).count();
        if section.given("number") && country != "SIP" && digits < 3 {
            self.say(section, "number", "is no telephone number; write \"+62 21-555-0100\"");
            return None;
        }
        let (toll_free, is_default) = (section.flag("toll_free"), section.flag("default"));
        Some(Number { number, country, toll_free, is_default })
    }
}

fn room_size(url: &str) -> Result<RoomSize, String> {
    let wanted = "write \"http://127.0.0.1:5280/room-size\"; it is asked without encryption, so on this host or a trusted net";
    let rest =
        url.strip_prefix("http://").ok_or_else(|| format!("is no http address; {wanted}"))?;
    let (authority, path) = rest.split_once('/').ok_or_else(|| format!("has no path; {wanted}"))?;
    if authority.is_empty() || url.contains([' ', '?', '#']) {
        return Err(format!("is no http address; {wanted}"));
    }
    let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
    Ok(RoomSize { authority, path: format!("/{path}") })
}
