//! Breweries and calls out under examination: what is legal but will disappoint, and what a brewery's server says. Nobody
//! enters a brewery for it: an occupant who tells no load would confuse those who count gateways there.

use gateway_core::base::rng::Rng;
use gateway_core::io::xmpp::{Transport, probe};
use gateway_core::leg::backend::{StreamAccount, StreamIdentity};

use super::Finding;
use super::doubts::open_way;
use super::guest::{Asked, Guest};
use crate::config::Config;
use crate::config::brewery::Brewery;

/// What a legal configuration lets one expect.
pub fn doubts(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let dial_out = &config.dial_out;
    if let (Some(brewery), false) = (config.breweries.first(), dial_out.enabled) {
        found.push(Finding::warning(
            brewery.line,
            "brewery: Jicofo is told that nobody can be called; write [dial_out] enabled = true, with a [[dial_out_rule]]",
        ));
    }
    if dial_out.enabled && config.breweries.is_empty() {
        found.push(Finding::warning(
            0,
            "dial_out: enabled: no conference can ask for a call before a [[brewery]] is there; add one",
        ));
    }
    // Every digit may begin such a number, and be followed by whatever.
    let is_open = |number: &str| dial_out.rules.iter().any(|rule| rule.number.matches(number));
    if dial_out.enabled
        && dial_out.allowed.is_empty()
        && is_open("+97912345678")
        && is_open("0012345")
    {
        found.push(Finding::warning(
            0,
            "dial_out: allowed: every number in the world may be called, and thieves look for that; name the countries you \
             call: [\"+62*\"]",
        ));
    }
    for rule in dial_out.rules.iter().filter(|_| dial_out.enabled) {
        let trunk = config.trunks.get(usize::from(rule.trunk.0));
        let unseen = trunk.filter(|trunk| trunk.sip.qualify_every.is_none());
        found.extend(unseen.map(|trunk| {
            let name = &trunk.sip.name;
            Finding::warning(
                0,
                format!(
                    "dial_out_rule {:?}: trunk {name:?} may be down without anybody noticing; write qualify_s = 30 there, so \
                     that the next trunk is taken and Jicofo is told",
                    rule.number.to_string()
                ),
            )
        }));
    }
    found.extend(config.breweries.iter().flat_map(of_brewery));
    found
}

fn of_brewery(brewery: &Brewery) -> Vec<Finding> {
    let title = format!("brewery {:?}", brewery.name);
    let mut found = Vec::new();
    if brewery.site.trust.insecure {
        let what = format!(
            "{title}: tls_insecure: any certificate is believed; set ca_file or tls_pins instead"
        );
        found.push(Finding::warning(brewery.line, what));
    }
    if let Some(host) = open_way(&brewery.site.transport) {
        let what = format!(
            "{title}: xmpp: the password and who is called travel openly to {host}; use StartTLS or https: unless it is \
             this machine"
        );
        found.push(Finding::warning(brewery.line, what));
    }
    if matches!(brewery.site.transport, Transport::WebSocket(_)) {
        let what = format!(
            "{title}: xmpp: Prosody's WebSocket often serves browsers' hosts alone; \"tcp:HOST:5222\" is usual"
        );
        found.push(Finding::warning(brewery.line, what));
    }
    found
}

/// Logs in at each brewery's server and looks at its room.
pub async fn findings(config: &Config, rng: &Rng) -> Vec<Finding> {
    let mut found = Vec::new();
    for brewery in &config.breweries {
        found.extend(visit(brewery, rng.fork(&brewery.name)).await);
    }
    found
}

async fn visit(brewery: &Brewery, rng: Rng) -> Vec<Finding> {
    let (title, line) = (format!("brewery {:?}", brewery.name), brewery.line);
    let identity =
        StreamIdentity::Password { user: brewery.user.clone(), password: brewery.password.clone() };
    let account = StreamAccount {
        site: Default::default(),
        identity,
        room: None,
        token: None,
        tenant: None,
        visit: None,
    };
    let mut guest = match probe(&brewery.site, &account, rng).await {
        Ok(probe) => Guest::new(probe, &brewery.room, "check"),
        Err(failure) => return vec![Finding::wrong(line, format!("{title}: xmpp: {failure}"))],
    };
    let mut found = vec![Finding::good(line, format!("{title}: logged in"))];
    found.push(match guest.occupants().await {
        Err(failure) => Finding::wrong(line, format!("{title}: {failure}")),
        Ok(Asked::Answer(nicks)) if nicks.iter().any(|nick| nick == "focus") => {
            Finding::good(line, format!("{title}: the room is there, and a Jicofo in it"))
        }
        // Prosody lists nobody to who is not inside.
        Ok(Asked::Answer(nicks)) if nicks.is_empty() => Finding::good(
            line,
            format!("{title}: the room is there; whether a Jicofo is in it, weebee_brewery_focus tells"),
        ),
        Ok(Asked::Answer(_)) => Finding::warning(
            line,
            format!(
                "{title}: room: it is there, but no Jicofo in it; check that jicofo.jigasi.brewery-jid is {:?}, and that \
                 Jicofo runs",
                brewery.room
            ),
        ),
        Ok(Asked::Error(condition)) if condition == "item-not-found" => Finding::warning(
            line,
            format!(
                "{title}: room: it is not there, so that no Jicofo waits in it; check that jicofo.jigasi.brewery-jid is {:?}",
                brewery.room
            ),
        ),
        Ok(Asked::Error(condition)) => Finding::wrong(
            line,
            format!("{title}: room: {:?} answers {condition}; check its host in Prosody", brewery.room),
        ),
        Ok(Asked::Silence) => {
            let what = "nobody answers at its host; check that Component in Prosody";
            Finding::wrong(line, format!("{title}: room: {what}"))
        }
    });
    guest.close().await;
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const BASE: &str = "[[trunk]]\nname = \"carrier\"\npeer = \"192.0.2.10:5060\"\n\
        [[conference.jitsi]]\nname = \"jitsi\"\ndomain = \"meet.example.org\"\n";
    const BREWERY: &str = "[[brewery]]\nname = \"main\"\ndomain = \"auth.meet.example.org\"\nuser = \"jigasi\"\n\
        password_file = \"Cargo.toml\"\nroom = \"jigasibrewery@internal.auth.meet.example.org\"\n";
    const RULE: &str = "[[dial_out_rule]]\nmatch = \"?*\"\ntrunk = \"carrier\"\n";

    fn said(text: &str) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        let config = crate::config::parse("weebee.toml", &format!("{BASE}{text}"), folder);
        let found = doubts(&config.expect("good"));
        found.iter().map(|it| format!("{}\n", it.text)).collect()
    }

    #[test]
    fn what_disappoints_is_said_with_its_remedy() {
        assert_eq!(said(""), "");
        assert!(said(BREWERY).contains("enabled = true"));
        let on = "[dial_out]\nenabled = true\n";
        let open = said(&format!("{on}{RULE}"));
        assert!(open.contains("add one") && open.contains("every number in the world"), "{open}");
        assert!(open.contains("qualify_s = 30"), "{open}");
        let named = said(&format!("{on}allowed = [\"+62*\"]\n{RULE}{BREWERY}"));
        assert!(!named.contains("every number"), "{named}");
        let way = BREWERY
            .replace("[[brewery]]\n", "[[brewery]]\nxmpp = \"tcp:prosody:5222\"\ntls = \"off\"\n");
        assert!(said(&way).contains("travel openly to prosody"));
    }
}
