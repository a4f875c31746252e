//! How busy a gateway is, as its presence in a brewery tells it: names and values are those that the focus and Prosody's
//! plugins read.

use minidom::Element;

use super::build::element;
use super::ns;

/// How busy we are, and what we can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    /// Calls that go on.
    pub calls: u32,
    /// Phones of ours in conferences. The focus gives the next call to whoever has fewest.
    pub participants: u32,
    /// No new calls: the focus passes us over.
    pub is_draining: bool,
    /// Calls that count as full stress. At least 1.
    pub threshold: u32,
    /// Where we are; the focus prefers gateways near its bridges.
    pub region: Option<String>,
    /// Our version.
    pub version: String,
    /// A call could go out now.
    pub has_trunk: bool,
}

impl Load {
    /// Calls by threshold: 1 is full, and more is possible.
    pub fn stress(&self) -> f64 {
        f64::from(self.calls) / f64::from(self.threshold.max(1))
    }

    /// The extension of presence.
    pub fn write(&self) -> Element {
        let stat = |name: &str, value: String| {
            element("stat", ns::COLIBRI).attr("name", name).attr("value", value)
        };
        let region = self.region.clone().map(|region| stat("region", region));
        element("stats", ns::COLIBRI)
            .child(stat("conferences", self.calls.to_string()))
            .child(stat("participants", self.participants.to_string()))
            .child(stat("graceful_shutdown", self.is_draining.to_string()))
            .child(stat("stress_level", format!("{:?}", self.stress())))
            .children(region)
            .child(stat("version", self.version.clone()))
            .child(stat("supports_transcription", false.to_string()))
            .child(stat("supports_sip", self.has_trunk.to_string()))
            .build()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jitsi::capture::jigasi;

    fn idle() -> Load {
        Load {
            calls: 0,
            participants: 0,
            is_draining: false,
            threshold: 100,
            region: None,
            version: "1.1.SNAPSHOT".to_owned(),
            has_trunk: true,
        }
    }

    #[test]
    fn it_is_told_as_a_real_jigasi_told_it() {
        let capture = jigasi::stanzas("brewery");
        let told: Vec<&Element> =
            capture.sent("0").filter_map(|it| it.get_child("stats", ns::COLIBRI)).collect();
        assert!(told.len() > 50, "{}", told.len());
        assert_eq!(idle().write(), *told[0]);
        assert_eq!(Load { calls: 1, participants: 2, ..idle() }.write(), *told[1]);
        assert_eq!(Load { calls: 2, participants: 2, ..idle() }.write(), *told[2]);
    }

    #[test]
    fn region_drain_and_trunks_are_told() {
        let told = Load {
            calls: 7,
            is_draining: true,
            region: Some("eu".to_owned()),
            has_trunk: false,
            ..idle()
        };
        let value = |name: &str| {
            let stats = told.write();
            let stat = stats.children().find(|it| it.attr("name") == Some(name));
            stat.and_then(|it| it.attr("value")).map(str::to_owned)
        };
        assert_eq!(value("graceful_shutdown").as_deref(), Some("true"));
        assert_eq!(value("region").as_deref(), Some("eu"));
        assert_eq!(value("supports_sip").as_deref(), Some("false"));
        assert_eq!(value("stress_level").as_deref(), Some("0.07"));
    }
}
