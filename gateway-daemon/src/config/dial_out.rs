//! `[dial_out]` and `[[dial_out_rule]]`: which numbers people in a conference may have called, by which trunk, and how many.

use std::time::Duration;

use gateway_core::base::ids::TrunkId;

use super::number::Pattern;
use super::raw::{Raw, Section};
use super::schema::{Kind, SectionDecl, key, needed, whole};
use super::typed::Judge;
use super::values::count;

/// Keys of the one.
pub(super) const DIAL_OUT: SectionDecl = SectionDecl {
    name: "dial_out",
    many: false,
    commented: false,
    about: "Calls that people in a conference ask for (\"invite by phone\"). They cost money, and thieves know it: off unless \
            enabled, and no number is called that no [[dial_out_rule]] matches.",
    keys: &[
        key(
            "enabled",
            Kind::Flag,
            "false",
            "Carry them out. False: Jicofo is told that we cannot call.",
        ),
        key(
            "allowed",
            Kind::Texts,
            "[]",
            "Numbers that may be called, as they come: `?` stands for one character, `*` for any rest. Empty: all that a rule \
             matches.",
        ),
        key("denied", Kind::Texts, "[]", "Numbers that may not, whatever else says so: \"+979*\"."),
        key(
            "calls_max",
            whole(1, 20_000, "calls"),
            "50",
            "Such calls at once. Few limit the damage of a stolen account, many serve a large site.",
        ),
        key(
            "per_minute",
            whole(1, 10_000, "calls"),
            "30",
            "Such calls begun in a minute, of all conferences.",
        ),
        key(
            "ring_s",
            whole(5, 300, "s"),
            "60",
            "A phone that rings this long without an answer is given up.",
        ),
        key(
            "linger_s",
            whole(0, 60, "s"),
            "5",
            "How long people in the room see why a call failed, before it leaves.",
        ),
    ],
};

/// Keys of the other.
pub(super) const DIAL_OUT_RULE: SectionDecl = SectionDecl {
    name: "dial_out_rule",
    many: true,
    commented: true,
    about: "By which trunk a number is called, and how it is written there. The first that matches counts; those after it that \
            match too are tried when its trunk is down or fails (408, 5xx).",
    keys: &[
        needed(
            "match",
            Kind::Text,
            r#""+62*""#,
            "Number: `?` stands for one character, `*` for any rest; \"?*\" is every number. Only what begins with \"sip:\" \
             matches SIP URIs.",
        ),
        needed("trunk", Kind::Text, r#""local""#, "Name of the [[trunk]]; it needs `peer`."),
        key(
            "strip",
            whole(0, 32, "characters"),
            "0",
            "Characters taken off the front of the number, `+` among them.",
        ),
        key("prepend", Kind::Text, r#""""#, "Then put before it (Jigasi's OUTBOUND_PREFIX)."),
        key(
            "target",
            Kind::Text,
            r#""sip:{number}@{peer}""#,
            "Request-URI: {number} as it is by then, {peer} the trunk's, or its `register_server`. A SIP URI is called as it is, unless this says \
             otherwise.",
        ),
        key(
            "from",
            Kind::Text,
            r#""""#,
            "Number to show. Empty: the one the dial names, else the trunk's user name.",
        ),
    ],
};

/// `[dial_out]` with its rules.
#[derive(Clone, Debug)]
pub struct DialOut {
    /// Carried out at all.
    pub enabled: bool,
    /// Only these; empty: all.
    pub allowed: Vec<Pattern>,
    /// Never these.
    pub denied: Vec<Pattern>,
    /// At once.
    pub calls_max: usize,
    /// Begun in a minute.
    pub per_minute: usize,
    /// Longest ringing.
    pub ring_max: Duration,
    /// A failure is shown so long.
    pub linger: Duration,
    /// First match first.
    pub rules: Vec<Rule>,
}

/// `[[dial_out_rule]]`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Number.
    pub number: Pattern,
    /// It matches SIP URIs, and nothing else.
    pub is_uri: bool,
    /// Trunk.
    pub trunk: TrunkId,
    /// Characters taken off.
    pub strip: usize,
    /// Put before it.
    pub prepend: String,
    /// Request-URI, with `{number}`; `None`: of a SIP URI, itself.
    pub target: Option<String>,
    /// Number to show, always.
    pub from: Option<String>,
}

impl Judge<'_> {
    /// `None` together with a mistake.
    pub(super) fn dial_out(&mut self, raw: &Raw) -> Option<DialOut> {
        let section = raw.one("dial_out");
        let rules: Vec<Option<Rule>> =
            raw.many("dial_out_rule").map(|rule| self.dial_out_rule(rule, raw)).collect();
        if section.flag("enabled") && rules.is_empty() {
            let what = "no number may be called; add [[dial_out_rule]], match = \"+62*\", trunk = \"local\"";
            self.say(section, "enabled", what);
        }
        Some(DialOut {
            enabled: section.flag("enabled"),
            allowed: self.patterns(section, "allowed")?,
            denied: self.patterns(section, "denied")?,
            calls_max: count(section.whole("calls_max")),
            per_minute: count(section.whole("per_minute")),
            ring_max: Duration::from_secs(section.whole("ring_s")),
            linger: Duration::from_secs(section.whole("linger_s")),
            rules: rules.into_iter().collect::<Option<_>>()?,
        })
    }

    fn patterns(&mut self, section: &Section, key: &str) -> Option<Vec<Pattern>> {
        let patterns = section.texts(key).iter().map(|text| {
            Pattern::new(text).ok_or("an empty pattern matches nothing; remove it".to_owned())
        });
        let patterns: Result<Vec<Pattern>, String> = patterns.collect();
        self.keep(section, key, patterns)
    }

    fn dial_out_rule(&mut self, section: &Section, raw: &Raw) -> Option<Rule> {
        let before = self.mistakes.entries.len();
        let text = section.text("match");
        let number = Pattern::new(text);
        if number.is_none() && section.given("match") {
            self.say(section, "match", "is empty; write the number, or \"?*\" for every one");
        }
        let is_uri = text.trim().to_lowercase().starts_with("sip:");
        let trunk = self.rule_trunk(section, raw);
        let prepend = section.text("prepend").to_owned();
        if !prepend.chars().all(is_user_sign) {
            let what = format!("{prepend:?} does not belong into a number; write \"0\" or \"+62\"");
            self.say(section, "prepend", what);
        }
        let template = section.text("target");
        let host = |trunk: &Section| match trunk.text("register_server") {
            "" => trunk.text("peer").to_owned(),
            server => server.to_owned(),
        };
        let peer = trunk.as_ref().map_or(String::new(), |(_, trunk)| host(trunk));
        let target = template.replace("{peer}", &peer);
        let is_whole = target.starts_with("sip:") && target.contains("{number}");
        let is_clean = !target.contains(['<', '>', '"']) && !target.contains(char::is_whitespace);
        if !is_whole || !is_clean || target.chars().any(char::is_control) {
            let what =
                format!("{template:?} is no address to call; write \"sip:{{number}}@{{peer}}\"");
            self.say(section, "target", what);
        }
        let from = section.text("from");
        if !from.chars().all(is_user_sign) {
            self.say(section, "from", format!("{from:?} is no number; write \"+622155512\""));
        }
        (self.mistakes.entries.len() == before).then_some(())?;
        Some(Rule {
            number: number?,
            is_uri,
            trunk: trunk?.0,
            strip: count(section.whole("strip")),
            prepend,
            target: (!is_uri || section.given("target")).then_some(target),
            from: Some(from.to_owned()).filter(|from| !from.is_empty()),
        })
    }

    fn rule_trunk<'a>(
        &mut self,
        section: &Section,
        raw: &'a Raw,
    ) -> Option<(TrunkId, &'a Section)> {
        let (name, is_on) = (section.text("trunk"), raw.one("dial_out").flag("enabled"));
        let found = raw.many("trunk").enumerate().find(|(_, trunk)| trunk.text("name") == name);
        match &found {
            None if section.given("trunk") => {
                self.say(section, "trunk", format!("there is no [[trunk]] named {name:?}"));
            }
            // Rules may be written before calls out are switched on.
            Some((_, trunk)) if trunk.text("peer").is_empty() && is_on => {
                let what =
                    format!("[[trunk]] {name:?} has no `peer` to send calls to; add it there");
                self.say(section, "trunk", what);
            }
            _ => {}
        }
        found.map(|(at, trunk)| (TrunkId(u16::try_from(at).unwrap_or(u16::MAX)), trunk))
    }
}

/// What may stand in the user part of a URI as it is (RFC 3261 §25.1, without what needs a thought).
pub fn is_user_sign(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || matches!(sign, '+' | '*' | '-' | '_' | '.')
}
