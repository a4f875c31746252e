//! BOSH (XEP-0124, XEP-0206): a stream inside HTTP requests, for sites whose web server passes nothing else. The server
//! holds one request until it has something to say; what we say travels in a second one.
//!
//! Answers are read in the order of their requests. HTTP is spoken here, because all that is needed is POST.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use minidom::Element;
use rustls::ClientConfig;
use tokio::io::AsyncWriteExt;
use tokio::task::JoinHandle;

use super::failure::Failure;
use super::framing::{Heard, NS_STREAM, escaped, read_one, text_of};
use super::hosts::HostNames;
use super::http::Answer;
use super::link::{Ways, Wire, web_wire};
use super::site::{WebAddress, XmppSite};
use crate::io::os_rng;

const NS_BODY: &str = "http://jabber.org/protocol/httpbind";
/// How long the server may hold a request.
const WAIT: Duration = Duration::from_secs(60);
/// An answer is there within this, or the server is gone.
const ANSWER_WITHIN: Duration = Duration::from_secs(75);
/// Requests under way: one held, one that carries.
const REQUESTS_MAX: usize = 2;
/// Stanzas that wait for a request.
const OUTBOX_MAX: usize = 512;

/// A BOSH session.
pub struct BoshLink {
    web: Arc<Web>,
    domain: String,
    sid: Option<String>,
    rid: u64,
    outbox: VecDeque<String>,
    restart: bool,
    under_way: VecDeque<JoinHandle<Result<Vec<u8>, Failure>>>,
    inbox: VecDeque<Heard>,
}

/// What requests share.
struct Web {
    site: XmppSite,
    tls: Arc<ClientConfig>,
    hosts: HostNames,
    address: WebAddress,
    target: String,
    idle: Mutex<Vec<Wire>>,
}

impl BoshLink {
    /// Nothing is sent before `open`.
    pub fn new(ways: &Ways<'_>, address: WebAddress) -> Self {
        let target = address.target(ways.parameters);
        let web = Web {
            site: ways.site.clone(),
            tls: Arc::clone(ways.tls),
            hosts: ways.hosts.clone(),
            address,
            target,
            idle: Mutex::default(),
        };
        // XEP-0124 §8: a random start far below 2^53.
        let rid = os_rng().map_or(1, |mut rng| u64::from(rng.u32()));
        Self {
            web: Arc::new(web),
            domain: ways.site.domain.clone(),
            sid: None,
            rid,
            outbox: VecDeque::new(),
            restart: false,
            under_way: VecDeque::new(),
            inbox: VecDeque::new(),
        }
    }

    /// Creates the session, or restarts the stream in it (XEP-0206 §5).
    pub fn open(&mut self) -> Result<(), Failure> {
        if self.sid.is_some() {
            self.restart = true;
            self.inbox.push_back(Heard::Header);
            self.pump();
            return Ok(());
        }
        let (to, wait) = (escaped(&self.domain), WAIT.as_secs());
        let attributes = format!(
            "content='text/xml; charset=utf-8' hold='1' to='{to}' ver='1.6' wait='{wait}' xml:lang='en' \
             xmpp:version='1.0' xmlns:xmpp='urn:xmpp:xbosh'"
        );
        self.post(&attributes, "");
        Ok(())
    }

    /// Sends an element with the next request.
    pub fn send(&mut self, element: &Element) -> Result<(), Failure> {
        if self.outbox.len() >= OUTBOX_MAX {
            return Err(Failure::QueueFull);
        }
        self.outbox.push_back(text_of(element));
        self.pump();
        Ok(())
    }

    /// What the server says next. Cancel safe: answers stay in their tasks until taken.
    pub async fn next(&mut self) -> Result<Heard, Failure> {
        loop {
            if let Some(heard) = self.inbox.pop_front() {
                return Ok(heard);
            }
            self.pump();
            let Some(oldest) = self.under_way.front_mut() else { return Err(Failure::Closed) };
            let answer = oldest.await;
            self.under_way.pop_front();
            let answer = answer.map_err(|_| Failure::Closed)??;
            self.answered(&answer)?;
        }
    }

    /// Ends the session.
    pub async fn close(&mut self) {
        if self.sid.is_none() {
            return;
        }
        let rest: String = self.outbox.drain(..).collect();
        self.post("type='terminate'", &rest);
        if let Some(last) = self.under_way.pop_back() {
            let _ = tokio::time::timeout(Duration::from_secs(2), last).await;
        }
    }

    fn answered(&mut self, answer: &[u8]) -> Result<(), Failure> {
        let body = read_one(answer)?;
        if !body.is("body", NS_BODY) {
            return Err(Failure::NotXmpp("an answer that is no BOSH body"));
        }
        if self.sid.is_none() {
            self.sid = body.attr("sid").map(str::to_owned);
            self.inbox.push_back(Heard::Header);
        }
        self.inbox.extend(body.children().cloned().map(Heard::Element));
        if body.attr("type") == Some("terminate") {
            match body.attr("condition") {
                Some("remote-stream-error") if body.has_child("error", NS_STREAM) => {}
                Some(condition) => return Err(Failure::of_stream_error(condition)),
                None => self.inbox.push_back(Heard::Footer),
            }
        }
        Ok(())
    }

    /// Starts requests as long as there is something to carry, or nothing is held.
    fn pump(&mut self) {
        let Some(_) = &self.sid else { return };
        if self.restart && self.under_way.len() < REQUESTS_MAX {
            self.restart = false;
            let to = escaped(&self.domain);
            let attributes =
                format!("to='{to}' xmpp:restart='true' xmlns:xmpp='urn:xmpp:xbosh' xml:lang='en'");
            self.post(&attributes, "");
        }
        let has_room = self.under_way.len() < REQUESTS_MAX;
        if (has_room && !self.outbox.is_empty()) || self.under_way.is_empty() {
            let text: String = self.outbox.drain(..).collect();
            self.post("", &text);
        }
    }

    fn post(&mut self, attributes: &str, content: &str) {
        let sid = self.sid.as_deref().map(|sid| format!(" sid='{}'", escaped(sid)));
        let (sid, rid) = (sid.unwrap_or_default(), self.rid);
        self.rid += 1;
        let body =
            format!("<body xmlns='{NS_BODY}' rid='{rid}'{sid} {attributes}>{content}</body>");
        let web = Arc::clone(&self.web);
        self.under_way.push_back(tokio::spawn(async move { web.exchange(&body).await }));
    }
}

impl Drop for BoshLink {
    fn drop(&mut self) {
        for request in &self.under_way {
            request.abort();
        }
    }
}

impl Web {
    /// One POST. A kept connection that turns out to be closed is replaced once (XEP-0124 §14.3 allows the same rid
    /// again).
    async fn exchange(&self, body: &str) -> Result<Vec<u8>, Failure> {
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let exchange = async {
            if let Some(wire) = kept {
                match self.post(wire, body).await {
                    Err(Failure::Closed) => {}
                    result => return result,
                }
            }
            let ways =
                Ways { site: &self.site, tls: &self.tls, hosts: &self.hosts, parameters: &[] };
            let wire = web_wire(&ways, &self.address).await?;
            self.post(wire, body).await
        };
        match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Silent),
        }
    }

    async fn post(&self, mut wire: Wire, body: &str) -> Result<Vec<u8>, Failure> {
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: {}\r\n\r\n{body}",
            self.target,
            self.address.authority(),
            body.len(),
        );
        let failed = |error: std::io::Error| Failure::of_io(&error);
        wire.write_all(request.as_bytes()).await.map_err(failed)?;
        wire.flush().await.map_err(failed)?;
        let mut answer = Answer::new(wire);
        let (content, keep) = answer.read().await?;
        if keep {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < REQUESTS_MAX {
                idle.push(answer.into_wire());
            }
        }
        Ok(content)
    }
}
