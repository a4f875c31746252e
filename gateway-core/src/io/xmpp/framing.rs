//! Bytes of a TCP stream to stream headers and elements, and back (RFC 6120 §4). No entity, comment or instruction is
//! read; size, depth and number of elements of a stanza are capped, so that a hostile server costs one stream only.

use minidom::Element;
use minidom::rxml::error::EndOrError;
use minidom::rxml::{Error as XmlError, Parse, RawEvent, RawParser};
use minidom::tree_builder::TreeBuilder;

use super::failure::Failure;

/// Bytes of one stanza. Prosody's own limit is 512 KiB between servers; 300 sources in JSON are 60 KB.
pub const STANZA_BYTES_MAX: usize = 512 * 1024;
/// Elements and attributes of one stanza: 300 sources in XML are 3,000.
pub const STANZA_EVENTS_MAX: usize = 60_000;
/// Elements inside each other. Jingle has 8.
pub const STANZA_DEPTH_MAX: usize = 48;

/// Stream namespace of RFC 6120.
pub const NS_STREAM: &str = "http://etherx.jabber.org/streams";
/// Content namespace of RFC 6120.
pub const NS_CLIENT: &str = "jabber:client";

/// What a stream says.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// The header of a new stream.
    Header,
    /// A child of the stream: stanza, features, nonza.
    Element(Element),
    /// The stream's end.
    Footer,
}

/// Reads one stream. After StartTLS and SASL a new one begins: [`StreamReader::restart`].
pub struct StreamReader {
    parser: RawParser,
    tree: TreeBuilder,
    open: bool,
    depth: usize,
    bytes: usize,
    events: usize,
}

impl Default for StreamReader {
    fn default() -> Self {
        Self {
            parser: RawParser::new(),
            tree: TreeBuilder::new(),
            open: false,
            depth: 0,
            bytes: 0,
            events: 0,
        }
    }
}

impl StreamReader {
    /// Forgets everything; the next bytes begin a stream.
    pub fn restart(&mut self) {
        *self = Self::default();
    }

    /// Reads on from the front of `bytes`. `None`: all were read and more are needed.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Heard>, Failure> {
        if !self.open && self.bytes == 0 {
            // The parser keeps text until an element comes; another protocol's greeting may have none.
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            if first.is_some_and(|byte| *byte != b'<') {
                return Err(Failure::NotXmpp("it does not begin a stream"));
            }
        }
        loop {
            let before = bytes.len();
            let event = self.parser.parse(bytes, false);
            self.bytes += before - bytes.len();
            if self.bytes > STANZA_BYTES_MAX {
                return Err(Failure::Oversized);
            }
            let event = match event {
                Ok(Some(event)) => event,
                Ok(None) => return Ok(None),
                Err(EndOrError::NeedMoreData) => return Ok(None),
                Err(EndOrError::Error(error)) => return Err(not_xml(&error)),
            };
            if let Some(heard) = self.event(event)? {
                return Ok(Some(heard));
            }
        }
    }

    fn event(&mut self, event: RawEvent) -> Result<Option<Heard>, Failure> {
        self.events += 1;
        if self.events > STANZA_EVENTS_MAX {
            return Err(Failure::Oversized);
        }
        match &event {
            RawEvent::ElementHeadOpen(..) => {
                self.depth += 1;
                if self.depth > STANZA_DEPTH_MAX {
                    return Err(Failure::Oversized);
                }
            }
            RawEvent::ElementFoot(_) => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Ok(Some(Heard::Footer));
                }
            }
            // Spaces that keep a connection alive; the stream itself holds no text.
            RawEvent::Text(..) if self.depth <= 1 => {
                self.whole();
                return Ok(None);
            }
            _ => {}
        }
        let is_head_end = matches!(event, RawEvent::ElementHeadClose(_));
        let is_foot = matches!(event, RawEvent::ElementFoot(_));
        self.tree
            .process_event(event)
            .map_err(|_| Failure::NotXmpp("a prefix without namespace"))?;
        if is_head_end && self.depth == 1 && !self.open {
            self.open = true;
            self.whole();
            return match self.tree.top().is_some_and(|root| root.is("stream", NS_STREAM)) {
                true => Ok(Some(Heard::Header)),
                false => Err(Failure::NotXmpp("it does not begin a stream")),
            };
        }
        if is_foot && self.depth == 1 {
            self.whole();
            return Ok(self.tree.unshift_child().map(Heard::Element));
        }
        Ok(None)
    }

    /// What was read is complete: the caps begin anew.
    fn whole(&mut self) {
        self.bytes = 0;
        self.events = 0;
    }
}

fn not_xml(error: &XmlError) -> Failure {
    match error {
        XmlError::RestrictedXml(_) => Failure::NotXmpp("XML that XMPP forbids"),
        _ => Failure::NotXmpp("no well-formed XML"),
    }
}

/// Reads text that holds one element and nothing else: a WebSocket message, the body of a BOSH answer.
pub fn read_one(mut bytes: &[u8]) -> Result<Element, Failure> {
    if bytes.len() > STANZA_BYTES_MAX {
        return Err(Failure::Oversized);
    }
    let (mut parser, mut tree) = (RawParser::new(), TreeBuilder::new());
    let (mut depth, mut events) = (0_usize, 0_usize);
    loop {
        match parser.parse(&mut bytes, true) {
            Ok(Some(event)) => {
                events += 1;
                match &event {
                    RawEvent::ElementHeadOpen(..) => depth += 1,
                    RawEvent::ElementFoot(_) => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth > STANZA_DEPTH_MAX || events > STANZA_EVENTS_MAX {
                    return Err(Failure::Oversized);
                }
                let good = tree.process_event(event);
                good.map_err(|_| Failure::NotXmpp("a prefix without namespace"))?;
            }
            Ok(None) => return tree.root.take().ok_or(Failure::NotXmpp("an empty document")),
            Err(EndOrError::NeedMoreData) => return Err(Failure::NotXmpp("an unfinished element")),
            Err(EndOrError::Error(error)) => return Err(not_xml(&error)),
        }
    }
}

/// An element as text. Elements are built from values or were parsed, so that their names are names.
pub fn text_of(element: &Element) -> String {
    let mut bytes = Vec::with_capacity(512);
    match element.write_to(&mut bytes) {
        Ok(()) => String::from_utf8(bytes).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// The header that opens a stream over TCP.
pub fn header(domain: &str) -> String {
    let to = escaped(domain);
    format!(
        "<?xml version='1.0'?><stream:stream to='{to}' version='1.0' xml:lang='en' xmlns='{NS_CLIENT}' \
         xmlns:stream='{NS_STREAM}'>"
    )
}

/// The footer that closes it.
pub const FOOTER: &str = "</stream:stream>";

/// Text as an attribute's value.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            '"' => out.push_str("&quot;"),
            sign => out.push(sign),
        }
    }
    out
}

/// An element of ours. `attributes` have no namespace and values of ours.
pub fn element(name: &str, namespace: &str, attributes: &[(&'static str, &str)]) -> Element {
    let mut builder = Element::builder(name, namespace);
    for (name, value) in attributes {
        let name = minidom::rxml::NcName::try_from(*name).expect("attribute names are ours");
        builder = builder.attr(name, *value);
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                        xmlns:stream='http://etherx.jabber.org/streams' id='1' from='meet.test' version='1.0'>";

    fn all(reader: &mut StreamReader, mut bytes: &[u8]) -> Result<Vec<Heard>, Failure> {
        let mut heard = Vec::new();
        while let Some(next) = reader.next(&mut bytes)? {
            heard.push(next);
        }
        Ok(heard)
    }

    #[test]
    fn a_stream_is_read_byte_by_byte() {
        let text = format!(
            "{OPEN} <stream:features><x xmlns='a:b' c='d'/></stream:features>\n <message to='x'>\
             <body>a &lt; b</body></message></stream:stream>"
        );
        let mut reader = StreamReader::default();
        let mut heard = Vec::new();
        for byte in text.as_bytes() {
            heard.extend(all(&mut reader, &[*byte]).expect("good XML"));
        }
        assert_eq!(heard.len(), 4);
        assert_eq!(heard[0], Heard::Header);
        let Heard::Element(features) = &heard[1] else { panic!("features") };
        assert!(features.is("features", NS_STREAM) && features.has_child("x", "a:b"));
        let Heard::Element(message) = &heard[2] else { panic!("message") };
        assert!(message.is("message", NS_CLIENT));
        let body = message.get_child("body", NS_CLIENT).expect("a body");
        assert_eq!(body.text(), "a < b");
        assert_eq!(heard[3], Heard::Footer);
    }

    #[test]
    fn garbage_is_refused_wherever_it_stands() {
        for text in [
            "HTTP/1.1 400 Bad Request\r\n\r\n",
            "<html>",
            "\u{0}\u{1}",
            "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY x 'y'>]><stream:stream xmlns:stream='s'>",
            "<stream:stream xmlns='jabber:client'>",
        ] {
            assert!(all(&mut StreamReader::default(), text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["<!-- x -->", "<a:b/>", "<a></b>", "<?php ?>", "<a>&unknown;</a>", "<a b=c/>"]
        {
            let mut reader = StreamReader::default();
            all(&mut reader, OPEN.as_bytes()).expect("good");
            assert!(all(&mut reader, text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn size_depth_and_number_are_capped() {
        let many = "<a/>".repeat(STANZA_EVENTS_MAX);
        let long = format!("<a>{}</a>", "x".repeat(STANZA_BYTES_MAX));
        let deep = "<a>".repeat(STANZA_DEPTH_MAX + 1);
        for text in [long, format!("<b>{many}</b>"), deep] {
            let mut reader = StreamReader::default();
            all(&mut reader, OPEN.as_bytes()).expect("good");
            assert_eq!(all(&mut reader, text.as_bytes()), Err(Failure::Oversized));
            let alone = text.replacen('>', " xmlns='x'>", 1);
            assert!(read_one(alone.as_bytes()).is_err());
        }
    }

    #[test]
    fn small_stanzas_never_reach_the_cap_together() {
        let mut reader = StreamReader::default();
        all(&mut reader, OPEN.as_bytes()).expect("good");
        let mut count = 0;
        let stanza = format!(" <message><body>{}</body></message>", "x".repeat(1_000));
        while count * 1_000 < 3 * STANZA_BYTES_MAX {
            count += all(&mut reader, stanza.as_bytes()).expect("small").len();
        }
        let spaces = " ".repeat(STANZA_BYTES_MAX * 2);
        for part in spaces.as_bytes().chunks(4_096) {
            all(&mut reader, part).expect("only spaces");
        }
        assert_eq!(all(&mut reader, stanza.as_bytes()).expect("small").len(), 1);
    }

    #[test]
    fn an_element_alone_is_whole_or_nothing() {
        let good = read_one(b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' id='1'/>");
        assert!(good.expect("good").is("open", "urn:ietf:params:xml:ns:xmpp-framing"));
        for text in ["", "<a xmlns='x'>", "<a xmlns='x'/><b xmlns='x'/>", "text", "<a/>"] {
            assert!(read_one(text.as_bytes()).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut ping = element("iq", NS_CLIENT, &[("id", "a'b\"<&>"), ("type", "get")]);
        ping.append_child(element("ping", "urn:xmpp:ping", &[]));
        assert_eq!(read_one(text_of(&ping).as_bytes()), Ok(ping));
    }
}
