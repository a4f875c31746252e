//! The conference request over HTTP, for sites whose focus is asked so and not by IQ (`/conference-request/v1`).
//!
//! The leg asks by IQ as ever; where its site has an address for that, the question leaves here as a POST, and the answer
//! comes back as the IQ it stands for. So nobody above knows of the two ways.

use std::sync::Arc;
use std::time::Duration;

use minidom::Element;
use rustls::ClientConfig;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tracing::debug;

use super::XmppEvent;
use super::failure::{Failure, Step};
use super::framing::{NS_CLIENT, element};
use super::hosts::HostNames;
use super::http::Answer;
use super::link::{Wire, secure};
use super::site::WebAddress;
use super::stream::Told;
use crate::base::ids::StreamKey;
use crate::base::pii::Pii;
use crate::jitsi::stanza::conference::{ConferenceAnswer, ConferenceRequest};
use crate::jitsi::stanza::ns;

/// A focus answers within this, or the leg asks again.
const ANSWER_WITHIN: Duration = Duration::from_secs(9);
const NS_STANZAS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";

/// A question under way.
pub(super) struct ConferenceTask {
    pub key: StreamKey,
    pub generation: u64,
    pub address: WebAddress,
    pub tls: Arc<ClientConfig>,
    pub hosts: HostNames,
    pub token: Option<Pii<String>>,
    pub events: mpsc::Sender<Told>,
}

/// Whether this stanza is a conference request.
pub(super) fn is_request(stanza: &Element) -> bool {
    stanza.name() == "iq"
        && stanza.attr("type") == Some("set")
        && stanza.has_child("conference", ns::FOCUS)
}

impl ConferenceTask {
    /// Asks, and tells the answer as the IQ it stands for.
    pub async fn run(self, request: Element) {
        let Some(body) = body_of(&request) else { return };
        let had_session = body.contains("\"sessionId\"");
        let asked = tokio::time::timeout(ANSWER_WITHIN, self.ask(&body)).await;
        let answer = asked.unwrap_or(Err(Failure::TimedOut(Step::Connect)));
        if let Err(failure) = &answer {
            debug!(stream = %self.key, label = failure.label(), "no conference by HTTP");
        }
        let stanza = answer_to(&request, answer, had_session);
        let (key, generation) = (self.key, self.generation);
        let _ = self.events.send(Told { key, generation, event: XmppEvent::Stanza(stanza) }).await;
    }

    async fn ask(&self, body: &str) -> Result<ConferenceAnswer, Failure> {
        let WebAddress { secure: is_secure, host, port, .. } = &self.address;
        let stream = self.hosts.connect(host, *port).await?;
        let mut wire = match is_secure {
            true => secure(stream, host, &self.tls).await?,
            false => Wire::Plain(stream),
        };
        let bearer = self
            .token
            .as_ref()
            .map(|token| format!("Authorization: Bearer {}\r\n", token.reveal()));
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\
             Connection: close\r\n\r\n{body}",
            self.address.path,
            self.address.authority(),
            body.len(),
            bearer.unwrap_or_default(),
        );
        let failed = |error: std::io::Error| Failure::of_io(&error);
        wire.write_all(request.as_bytes()).await.map_err(failed)?;
        wire.flush().await.map_err(failed)?;
        let (content, _) = Answer::new(wire).read().await?;
        let text = String::from_utf8(content).ok();
        let answer = text.and_then(|text| ConferenceAnswer::read_json(&text));
        answer.ok_or(Failure::NotXmpp("no answer to a conference request"))
    }
}

/// The question as JSON.
fn body_of(request: &Element) -> Option<String> {
    let asked = ConferenceRequest::read(request.get_child("conference", ns::FOCUS)?)?;
    Some(asked.json())
}

/// The IQ that the focus would have sent.
fn answer_to(
    request: &Element,
    answer: Result<ConferenceAnswer, Failure>,
    had_session: bool,
) -> Element {
    let kind = if answer.is_ok() { "result" } else { "error" };
    let text = |name| request.attr(name).unwrap_or_default();
    let attributes = [("type", kind), ("id", text("id")), ("from", text("to"))];
    let mut iq = element("iq", NS_CLIENT, &attributes);
    match answer {
        Ok(answer) => _ = iq.append_child(answer.write()),
        Err(failure) => {
            let mut error = element("error", NS_CLIENT, &[("type", "cancel")]);
            let condition = match failure {
                Failure::HttpStatus(401 | 403) => "not-authorized",
                // Whatever else is wrong with a request that named a session: asked again without it.
                Failure::HttpStatus(400) if had_session => {
                    error.append_child(element("session-invalid", ns::FOCUS, &[]));
                    "not-acceptable"
                }
                _ => "service-unavailable",
            };
            error.append_child(element(condition, NS_STANZAS, &[]));
            iq.append_child(error);
        }
    }
    iq
}
