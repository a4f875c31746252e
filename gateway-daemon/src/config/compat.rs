//! `[jigasi]`: what its operators know from Jigasi.

use std::net::SocketAddr;
use std::time::Duration;

use super::raw::Raw;
use super::schema::{Kind, SectionDecl, key, whole};
use super::typed::Judge;
use super::values::{minutes, socket_address};

/// Its keys.
pub(super) const JIGASI: SectionDecl = SectionDecl {
    name: "jigasi",
    many: false,
    commented: false,
    about: "What operators know from Jigasi: `/about/*`, `/debug`, `/configure/*` are on [http] listen with its other pages. \
            `docs/jigasi.md` has the differences.",
    keys: &[
        key(
            "rest",
            Kind::Text,
            r#""""#,
            "Address and port of another listener for these pages and /metrics: \"0.0.0.0:8788\". Figures are for \
             everybody who reaches it; orders, and /debug, for this host or the token of [http]. Empty: none.",
        ),
        key(
            "shutdown",
            Kind::Flag,
            "false",
            "POST /about/shutdown: take no new calls and end with the last one.",
        ),
        key(
            "drain_max_min",
            whole(0, 10_080, "min"),
            "0",
            "How long calls may go on after that; then they end with words. 0: as long as they like.",
        ),
        key(
            "conferences_threshold",
            whole(1, 20_000, "calls"),
            "100",
            "Calls that are a stress_level of 1.0, for autoscalers and in the brewery.",
        ),
        key(
            "health_check_uri",
            Kind::Text,
            r#""""#,
            "Number or SIP address that is called from time to time to see whether calls work; it must answer and send \
             sound. Empty: nobody is.",
        ),
        key(
            "health_check_trunk",
            Kind::Text,
            r#""""#,
            "The trunk that this call takes. Empty: the first one with a peer.",
        ),
        key(
            "health_check_interval_s",
            whole(30, 86_400, "s"),
            "300",
            "How often. Each is a call that may cost money.",
        ),
        key(
            "health_check_timeout_s",
            whole(60, 86_400, "s"),
            "600",
            "/about/health says 500 when none has worked for this long.",
        ),
    ],
};

/// `[jigasi]`.
#[derive(Clone, Debug)]
pub struct Compat {
    /// Another listener.
    pub rest: Option<SocketAddr>,
    /// `POST /about/shutdown` works.
    pub shutdown: bool,
    /// How long calls may go on after it; `None`: as long as they like.
    pub drain_max: Option<Duration>,
    /// Calls of a full gateway.
    pub conferences_threshold: u64,
    /// The health call.
    pub health_call: Option<HealthCall>,
}

/// A call that shows whether calls work.
#[derive(Clone, Debug)]
pub struct HealthCall {
    /// Number or SIP address.
    pub target: String,
    /// Its trunk, in the order of the configuration.
    pub trunk: usize,
    /// From one to the next.
    pub every: Duration,
    /// None worked for so long: ill.
    pub timeout: Duration,
}

impl Judge<'_> {
    /// `None` together with a mistake.
    pub(super) fn compat(&mut self, raw: &Raw) -> Option<Compat> {
        let section = raw.one("jigasi");
        let before = self.mistakes.entries.len();
        let rest = match section.text("rest") {
            "" => None,
            text => self.keep(section, "rest", socket_address(text, "0.0.0.0:8788")),
        };
        let http = raw.one("http").text("listen").parse::<SocketAddr>().ok();
        if let (Some(rest), Some(http)) = (rest, http)
            && overlap(rest, http)
        {
            let what = format!(
                "{rest} and [http] listen = \"{http}\" cannot both be had; leave rest empty (the pages are there, too) or \
                 move [http] to \"127.0.0.1:{}\"",
                if http.port() == 8787 { 8789 } else { 8787 },
            );
            self.say(section, "rest", what);
        }
        let health_call = self.health_call(raw);
        let seconds = minutes(section.whole("drain_max_min"));
        (self.mistakes.entries.len() == before).then(|| Compat {
            rest,
            shutdown: section.flag("shutdown"),
            drain_max: (!seconds.is_zero()).then_some(seconds),
            conferences_threshold: section.whole("conferences_threshold"),
            health_call,
        })
    }

    fn health_call(&mut self, raw: &Raw) -> Option<HealthCall> {
        let section = raw.one("jigasi");
        let target = section.text("health_check_uri").trim();
        if target.is_empty() {
            return None;
        }
        let legal = |sign: char| sign.is_ascii_graphic() && !matches!(sign, '<' | '>' | '"');
        if !target.chars().all(legal) {
            let what = "is no number and no SIP address; write \"*600\" or \"sip:echo@192.0.2.10\"";
            self.say(section, "health_check_uri", what);
        }
        let wanted = section.text("health_check_trunk");
        let mut trunks = raw.many("trunk").enumerate();
        let trunk = trunks.find(|(_, trunk)| match wanted {
            "" => !trunk.text("peer").is_empty(),
            name => trunk.text("name") == name && !trunk.text("peer").is_empty(),
        });
        let Some((trunk, _)) = trunk else {
            let what = "no such [[trunk]] with a peer that could be called; name one that has";
            self.say(section, "health_check_trunk", what);
            return None;
        };
        Some(HealthCall {
            target: target.to_owned(),
            trunk,
            every: Duration::from_secs(section.whole("health_check_interval_s")),
            timeout: Duration::from_secs(section.whole("health_check_timeout_s")),
        })
    }
}

/// Whether only one of them can be bound.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (any || one.ip() == other.ip())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Config, parse};

    fn read(keys: &str) -> Result<Config, String> {
        let text = format!(
            "[[trunk]]\nname = \"in\"\nsources = [\"192.0.2.1\"]\n[[trunk]]\nname = \"pbx\"\npeer = \"192.0.2.2:5060\"\n[jigasi]\n{keys}"
        );
        parse("t", &text, Path::new("")).map_err(|mistakes| mistakes.to_string())
    }

    #[test]
    fn nothing_is_opened_unless_asked_for() {
        let compat = read("").expect("good").compat;
        assert!(compat.rest.is_none() && !compat.shutdown && compat.health_call.is_none());
        assert_eq!((compat.conferences_threshold, compat.drain_max), (100, None));
        let compat = read("rest = \"0.0.0.0:8789\"\nhealth_check_uri = \"*600\"").expect("good");
        let call = compat.compat.health_call.expect("asked for");
        assert_eq!((call.trunk, call.target.as_str(), call.every.as_secs()), (1, "*600", 300));
    }

    #[test]
    fn each_mistake_has_its_remedy() {
        for (keys, remedy) in [
            ("rest = \"8788\"", "write \"0.0.0.0:8788\""),
            ("rest = \"0.0.0.0:8788\"", "move [http] to \"127.0.0.1:8787\""),
            ("rest = \"127.0.0.1:8788\"", "leave rest empty"),
            ("health_check_uri = \"a b\"", "write \"*600\""),
            ("health_check_uri = \"*600\"\nhealth_check_trunk = \"in\"", "name one that has"),
            ("health_check_interval_s = 1", "30 to 86400"),
            ("conferences_threshold = 0", "1 to 20000"),
        ] {
            let mistakes = read(keys).expect_err(keys);
            assert!(mistakes.contains(remedy), "{keys}: {mistakes}");
        }
    }
}
