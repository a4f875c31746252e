//! What is refused, and what is said of an installation that works.

use super::super::fixtures::{SAMPLE, of_properties};
use super::{holds, refused, said};

/// What stands in place of what in Debian's sample, and what the refusal says.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "PASSWORD=c2lwLXNlY3JldA==",
        "PASSWORD=not base64!",
        "sip.properties:24: PASSWORD: is not base64",
    ),
    ("USER_ID=bridge@pbx.example.org", "USER_ID=@pbx.example.org", "has no USER_ID"),
    ("SERVER_PORT=5222", "SERVER_PORT=xmpp", "SERVER_PORT: \"xmpp\" is no number"),
    ("SERVER_PORT=5222", "SERVER_PORT=70000", "70000 is no port"),
    ("BREWERY=JigasiBrewery@internal.auth.meet.example.org", "BREWERY=JigasiBrewery", "is no room"),
    (
        "MUC_SERVICE_ADDRESS=conference.meet.example.org",
        "MUC_SERVICE_ADDRESS=meet/example",
        "sip.properties:4: ",
    ),
    (
        "#org.jitsi.jigasi.ENABLE_SIP=true",
        "org.jitsi.jigasi.ENABLE_SIP=false",
        "only writes down speech",
    ),
    (
        "#org.jitsi.jigasi.xmpp.acc.ANONYMOUS_AUTH=false",
        "org.jitsi.jigasi.xmpp.acc.ANONYMOUS_AUTH=false",
        "xmpp.acc.USER_ID is missing",
    ),
    (
        "protocol.sip.acc1403273890647=acc1403273890647",
        "protocol.sip.nobody=acc",
        "no SIP account is declared",
    ),
    ("KEEP_ALIVE_INTERVAL=25", "KEEP_ALIVE_INTERVAL=often", "\"often\" is no number"),
];

#[test]
fn each_mistake_is_said_with_its_line_and_remedy() {
    let missed = REFUSED.iter().filter_map(|(right, wrong, said)| {
        assert!(SAMPLE.contains(right), "{right}");
        let text = refused(&SAMPLE.replacen(right, wrong, 1));
        (!text.contains(said)).then(|| format!("{wrong}: should say {said:?}:\n{text}"))
    });
    let missed: Vec<String> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    let both = SAMPLE.replacen("SERVER_PORT=5222", "SERVER_PORT=x", 1);
    let both = both.replacen("BREWERY=JigasiBrewery@internal", "BREWERY=internal", 1);
    holds(&refused(&both), &["\"x\" is no number", "is no room"]);
}

/// What stands in place of what in Debian's sample, and what is said of it.
const SAID: &[(&str, &str, &str)] = &[
    (
        "!",
        "net.java.sip.communicator.service.gui.ALWAYS_TRUST_MODE_ENABLED=true\n!",
        "any certificate is believed",
    ),
    ("!", "--min-port=9000\n!", "include 10000, which is the bridge's"),
    ("!", "org.jitsi.jigasi.MUC_SERVICE_ADRESS=x\n!", "did you mean MUC_SERVICE_ADDRESS?"),
    ("!", "org.jitsi.jigasi.ENABLE_TRANSCRIPTION=true\n!", "speech is not written down here"),
    ("PASSWORD=c2lwLXNlY3JldA==", "PASSWORD=c2lwLXNlY3JldAo=", "ends with a line break"),
    ("PASSWORD=c2lwLXNlY3JldA==", "PASSWORD=", "has no PASSWORD"),
    (
        "!",
        "net.java.sip.communicator.impl.protocol.sip.b.USER_ID=x@y\n!",
        "no line declares account b",
    ),
    ("Encodings.G722/8000=700", "Encodings.G722/8000=0", "G.722 is off"),
    ("BREWERY=", "BREWERIES=", "nobody can be called from a room"),
    ("!", "!", "ports began at 10000"),
];

#[test]
fn defects_of_the_old_set_up_are_said() {
    let missed = SAID.iter().filter_map(|(right, other, wanted)| {
        assert!(SAMPLE.contains(right), "{right}");
        let text = said(&of_properties(&SAMPLE.replacen(right, other, 1)));
        (!text.contains(wanted)).then(|| format!("{other}: should say {wanted:?}:\n{text}"))
    });
    let missed: Vec<String> = missed.collect();
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
