//! Messages of the bridge channel (COLIBRI): JSON objects with a `colibriClass`, over SCTP or a WebSocket.
//!
//! Only what a leg of sound can use is read; everything about pictures, and classes not known here, is
//! [`BridgeMessage::Other`].

use serde_json::{Map, Value, json};

use super::short;
use crate::base::limits::{JITSI_JSON_BYTES_MAX, JITSI_SOURCES_MAX};

/// From the bridge.
#[derive(Clone, Debug, PartialEq)]
pub enum BridgeMessage {
    /// The channel works.
    ServerHello,
    /// Somebody else speaks most.
    DominantSpeaker {
        /// His endpoint.
        endpoint: String,
        /// Those before him, latest first.
        previous: Vec<String>,
        /// He is silent by now.
        silence: bool,
    },
    /// New entries of the map of SSRCs that the bridge sends under numbers of its own.
    AudioSources(Vec<MappedSource>),
    /// Something from another participant.
    EndpointMessage {
        /// Who, as the bridge says.
        from: Option<String>,
        /// What; any JSON.
        payload: Value,
    },
    /// Another participant's media stopped or began again.
    Connectivity {
        /// His endpoint.
        endpoint: String,
        /// It flows.
        active: bool,
    },
    /// What the bridge believes we can receive.
    ConnectionStats {
        /// Bits per second.
        downlink_bandwidth: Option<u64>,
    },
    /// A class of no use here, by name.
    Other(String),
}

/// One entry of an `AudioSourcesMap`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedSource {
    /// Name of the source.
    pub source: String,
    /// Its owner.
    pub owner: String,
    /// The number under which it comes now.
    pub ssrc: u32,
}

/// Text that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no JSON object with a colibriClass, or fields of the wrong kind")]
pub struct BadMessage;

impl BridgeMessage {
    /// Reads a message.
    pub fn read(text: &str) -> Result<Self, BadMessage> {
        if text.len() > JITSI_JSON_BYTES_MAX {
            return Err(BadMessage);
        }
        let json: Value = serde_json::from_str(text).map_err(|_| BadMessage)?;
        let class = json.get("colibriClass").and_then(Value::as_str).ok_or(BadMessage)?;
        Self::of_class(class, &json).ok_or(BadMessage)
    }

    fn of_class(class: &str, json: &Value) -> Option<Self> {
        let word = |key: &str| json.get(key).and_then(Value::as_str).and_then(short);
        let list = |key: &str| json.get(key).and_then(Value::as_array).into_iter().flatten();
        Some(match class {
            "ServerHello" => Self::ServerHello,
            "DominantSpeakerEndpointChangeEvent" => Self::DominantSpeaker {
                endpoint: word("dominantSpeakerEndpoint")?,
                previous: list("previousSpeakers")
                    .filter_map(|it| short(it.as_str()?))
                    .take(JITSI_SOURCES_MAX)
                    .collect(),
                silence: json.get("silence").is_some_and(is_true),
            },
            "AudioSourcesMap" => Self::AudioSources(
                list("mappedSources")
                    .filter_map(MappedSource::read)
                    .take(JITSI_SOURCES_MAX)
                    .collect(),
            ),
            "EndpointMessage" => Self::EndpointMessage {
                from: word("from"),
                payload: json.get("msgPayload").cloned().unwrap_or_default(),
            },
            "EndpointConnectivityStatusChangeEvent" => Self::Connectivity {
                endpoint: word("endpoint")?,
                active: json.get("active").is_some_and(is_true),
            },
            "ConnectionStats" => Self::ConnectionStats {
                downlink_bandwidth: json.get("estimatedDownlinkBandwidth").and_then(Value::as_u64),
            },
            other => Self::Other(short(other)?),
        })
    }

    /// The message as a bridge writes it (stand-ins in tests do).
    pub fn write(&self) -> String {
        let json = match self {
            Self::ServerHello => json!({"colibriClass": "ServerHello"}),
            Self::DominantSpeaker { endpoint, previous, silence } => json!({
                "colibriClass": "DominantSpeakerEndpointChangeEvent",
                "dominantSpeakerEndpoint": endpoint,
                "previousSpeakers": previous,
                "silence": silence,
            }),
            Self::AudioSources(sources) => {
                let entry = |it: &MappedSource| json!({"source": it.source, "owner": it.owner, "ssrc": it.ssrc});
                let sources: Vec<Value> = sources.iter().map(entry).collect();
                json!({"colibriClass": "AudioSourcesMap", "mappedSources": sources})
            }
            Self::EndpointMessage { from, payload } => json!({
                "colibriClass": "EndpointMessage", "from": from, "msgPayload": payload,
            }),
            Self::Connectivity { endpoint, active } => json!({
                "colibriClass": "EndpointConnectivityStatusChangeEvent",
                "endpoint": endpoint,
                // The bridge writes a text here.
                "active": active.to_string(),
            }),
            Self::ConnectionStats { downlink_bandwidth } => json!({
                "colibriClass": "ConnectionStats", "estimatedDownlinkBandwidth": downlink_bandwidth,
            }),
            Self::Other(class) => json!({"colibriClass": class}),
        };
        json.to_string()
    }
}

impl MappedSource {
    fn read(json: &Value) -> Option<Self> {
        let word = |key: &str| json.get(key).and_then(Value::as_str).and_then(short);
        let ssrc = json.get("ssrc").and_then(Value::as_u64)?;
        let ssrc = u32::try_from(ssrc).ok()?;
        Some(Self { source: word("source")?, owner: word("owner")?, ssrc })
    }
}

/// To the bridge.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// Asks for a `ServerHello`.
    ClientHello,
    /// Which sources shall be sent to us.
    Subscribe(AudioSubscription),
    /// Something for another participant, or for all (`to` empty).
    EndpointMessage {
        /// Whom.
        to: String,
        /// What.
        payload: Value,
    },
}

/// Which sources of sound the bridge shall send. What is excluded is never sent; what is included always; `all` says
/// what becomes of the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AudioSubscription {
    /// Everything.
    pub all: bool,
    /// Names of sources wanted in any case.
    pub include: Vec<String>,
    /// Names of sources not wanted.
    pub exclude: Vec<String>,
}

impl AudioSubscription {
    /// Everything: what a bridge does unasked.
    pub fn all() -> Self {
        Self { all: true, ..Self::default() }
    }

    /// Whether a source is sent.
    pub fn wants(&self, source: &str) -> bool {
        let has = |list: &[String]| list.iter().any(|name| name == source);
        !has(&self.exclude) && (self.all || has(&self.include))
    }
}

impl ClientMessage {
    /// The message.
    pub fn write(&self) -> String {
        let json = match self {
            Self::ClientHello => json!({"colibriClass": "ClientHello"}),
            Self::Subscribe(AudioSubscription { all, include, exclude }) => {
                let mut json = Map::new();
                json.insert("colibriClass".to_owned(), "ReceiverAudioSubscription".into());
                // Always said: the bridge takes a missing `all` for "nothing".
                json.insert("all".to_owned(), (*all).into());
                for (key, list) in [("include", include), ("exclude", exclude)] {
                    if !list.is_empty() {
                        json.insert(key.to_owned(), list.clone().into());
                    }
                }
                json.into()
            }
            Self::EndpointMessage { to, payload } => json!({
                "colibriClass": "EndpointMessage", "to": to, "msgPayload": payload,
            }),
        };
        json.to_string()
    }

    /// Reads what a client sent, as a bridge does (stand-ins in tests do). `None`: nothing known here.
    pub fn read(text: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(text).ok()?;
        let names = |key: &str| -> Vec<String> {
            let list = json.get(key).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(|it| short(it.as_str()?)).take(JITSI_SOURCES_MAX).collect()
        };
        Some(match json.get("colibriClass")?.as_str()? {
            "ClientHello" => Self::ClientHello,
            "ReceiverAudioSubscription" => Self::Subscribe(match json.get("mode") {
                // The older form.
                Some(mode) => match mode.as_str()? {
                    "All" => AudioSubscription::all(),
                    "Include" => AudioSubscription { include: names("list"), ..Default::default() },
                    "Exclude" => AudioSubscription {
                        all: true,
                        exclude: names("list"),
                        ..Default::default()
                    },
                    _ => AudioSubscription::default(),
                },
                None => AudioSubscription {
                    all: json.get("all").is_some_and(is_true),
                    include: names("include"),
                    exclude: names("exclude"),
                },
            }),
            "EndpointMessage" => Self::EndpointMessage {
                to: json.get("to").and_then(Value::as_str).and_then(short).unwrap_or_default(),
                payload: json.get("msgPayload").cloned().unwrap_or_default(),
            },
            _ => return None,
        })
    }
}

/// True as a truth value or as a text: bridges write both.
fn is_true(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| value.as_str() == Some("true"))
}
