//! Recordings of a real Jigasi's own connections (`testdata/jigasi/NAME.gateway.xml`). Its debug log wrote them with line
//! breaks and blanks around every text; those are taken away again.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use minidom::{Element, Node};

use super::{Capture, Entry, Seen, parse_stanzas};

/// Reads `testdata/jigasi/NAME.gateway.xml`. A client is a connection's number, `0` first.
///
/// # Panics
/// Where there is no such file, or it is no recording: it is data of our own tests.
pub fn stanzas(name: &str) -> Capture<Element> {
    let file = format!("../testdata/jigasi/{name}.gateway.xml");
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&file).unwrap_or_else(|fault| panic!("{name}: {fault}"));
    let text = text.trim().strip_suffix("</capture>").expect("it has an end");
    let mut entries = Vec::new();
    for piece in text.split("<!--").skip(1) {
        let (comment, xml) = piece.split_once("-->").expect("the comment ends");
        let Some((at, client, is_sent)) = header(comment.trim()) else { continue };
        for mut stanza in
            parse_stanzas(xml).unwrap_or_else(|fault| panic!("{name} {at:?}: {fault}"))
        {
            tidy(&mut stanza);
            let seen = if is_sent { Seen::Sent(stanza) } else { Seen::Received(stanza) };
            entries.push(Entry { at, client: client.to_owned(), seen });
        }
    }
    Capture { name: name.to_owned(), entries }
}

/// `08:45:30.242 connection 0 sent`.
fn header(comment: &str) -> Option<(Duration, &str, bool)> {
    let mut words = comment.split(' ');
    let at = words
        .next()?
        .split(':')
        .try_fold(0.0, |sum, part| part.parse::<f64>().ok().map(|number| sum * 60.0 + number))?;
    let client = words.next().filter(|word| *word == "connection").and_then(|_| words.next())?;
    let is_sent = match words.next()? {
        "sent" => true,
        "received" => false,
        _ => return None,
    };
    Some((Duration::try_from_secs_f64(at).ok()?, client, is_sent))
}

/// Texts without the blanks around them.
fn tidy(element: &mut Element) {
    let nodes = element.take_nodes();
    for mut node in nodes {
        match &mut node {
            Node::Element(child) => tidy(child),
            Node::Text(text) => {
                *text = text.trim().to_owned();
                if text.is_empty() {
                    continue;
                }
            }
        }
        element.append_node(node);
    }
}
