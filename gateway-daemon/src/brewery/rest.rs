//! `/configure/call-control-muc/...`: breweries listed, added and removed while the gateway runs, with Jigasi's bodies and
//! answers. Nothing of it survives a restart, as with Jigasi.

use gateway_core::base::pii::Pii;
use gateway_core::io::xmpp::{Encryption, Transport, Trust, WebAddress};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::config::brewery::{Brewery, is_bare, site};

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Names of all breweries.
    List,
    /// One more.
    Add(Box<Brewery>),
    /// One less.
    Remove(String),
}

/// Reads a request: what stands below `/configure/call-control-muc/`, method and body. The error is its answer: status and
/// body, `null` for none.
pub fn read(config: &Config, what: &str, method: &str, body: &[u8]) -> Result<Ask, (u16, Value)> {
    match (what, method) {
        ("list", "GET") => Ok(Ask::List),
        ("add" | "remove", "POST") => {
            let bad = |why: String| (400, json!({ "error": why }));
            let value: Value = serde_json::from_slice(body)
                .map_err(|_| bad("the body is no JSON object".to_owned()))?;
            let properties = value.as_object();
            let id = properties.and_then(|it| it.get("id")).and_then(Value::as_str);
            let (Some(properties), Some(id)) = (properties, id) else {
                return Err(bad("the body is no JSON object with a text \"id\"".to_owned()));
            };
            match what {
                "remove" => Ok(Ask::Remove(id.to_owned())),
                _ => brewery(config, id, properties).map(Box::new).map(Ask::Add).map_err(bad),
            }
        }
        ("list" | "add" | "remove", _) => Err((405, Value::Null)),
        _ => Err((404, Value::Null)),
    }
}

/// An account as Jigasi's properties describe it. The error is a sentence.
fn brewery(config: &Config, id: &str, properties: &Map<String, Value>) -> Result<Brewery, String> {
    let text = |name: &str| -> Option<String> {
        match properties.get(name)? {
            Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    };
    let need = |name: &str| text(name).ok_or_else(|| format!("{name} is missing"));
    if id.is_empty() || id.len() > 64 || id.chars().any(|sign| sign.is_control() || sign == '.') {
        return Err("id has 1 to 64 characters and no dots".to_owned());
    }
    let user_id = need("USER_ID")?;
    let (user, domain) =
        user_id.split_once('@').ok_or("USER_ID is no address; write user@host".to_owned())?;
    let domain = domain.split('/').next().unwrap_or_default().to_lowercase();
    let password = need("PASSWORD")?;
    let room = need("BREWERY")?.to_lowercase();
    let is_user = !domain.contains('@') && is_bare(&format!("{user}@{domain}"));
    if !room.contains('@') || !is_bare(&room) || !is_user {
        return Err("BREWERY is a room's address, USER_ID a user's".to_owned());
    }
    let region = text("REGION").or_else(|| config.breweries.first()?.region.clone());
    let told = [Some(&password), region.as_ref()];
    if told.into_iter().flatten().any(|text| text.contains(char::is_control)) {
        return Err("PASSWORD and REGION have no control characters".to_owned());
    }
    let transport = way_in(&text, &domain)?;
    let conference = conference(config, &text, &domain)?;
    let trust = Trust {
        insecure: text("ALLOW_NON_SECURE").as_deref() == Some("true"),
        ..like(config, &conference)
    };
    Ok(Brewery {
        name: id.to_owned(),
        line: 0,
        site: site(id, domain, transport, trust),
        user: Pii::new(user.to_owned()),
        password: Pii::new(password),
        allowed: vec![room.clone()],
        room,
        conference,
        region,
    })
}

/// BOSH where an address of it is given, else TCP to the server, else to the domain.
fn way_in(text: &impl Fn(&str) -> Option<String>, domain: &str) -> Result<Transport, String> {
    if text("USE_BOSH").as_deref() == Some("true")
        && let Some(url) = text("BOSH_URL_PATTERN")
    {
        let plain = url.split('?').next().unwrap_or_default().replace("{host}", domain);
        let address =
            WebAddress::parse(&plain).map_err(|error| format!("BOSH_URL_PATTERN: {error}"))?;
        return Ok(Transport::Bosh(address));
    }
    let host = text("SERVER_ADDRESS").unwrap_or_else(|| domain.to_owned());
    let port = text("SERVER_PORT").map_or(Ok(XMPP_PORT), |port| port.parse());
    let port = port.ok().filter(|port| *port != 0).ok_or("SERVER_PORT is no port".to_owned())?;
    match is_bare(&host) && !host.contains('@') {
        true => Ok(Transport::Tcp { host, port, encryption: Encryption::Required }),
        false => Err("SERVER_ADDRESS is no host".to_owned()),
    }
}

/// The deployment its dials enter: the one of its domain base, else the only one there is.
fn conference(
    config: &Config,
    text: &impl Fn(&str) -> Option<String>,
    domain: &str,
) -> Result<String, String> {
    let base = text("DOMAIN_BASE").map(|base| base.to_lowercase());
    let prefix = text("MUC_DOMAIN_PREFIX");
    let rooms = base.iter().zip(&prefix).map(|(base, prefix)| format!("{prefix}.{base}")).next();
    let fits = |it: &&crate::config::jitsi::Jitsi| match (&rooms, &base) {
        (Some(rooms), _) => it.settings.rooms == *rooms,
        (None, Some(base)) => it.settings.domain == *base,
        (None, None) => domain.ends_with(&it.settings.domain),
    };
    let found = config.jitsi.iter().find(fits);
    let only = || config.jitsi.first().filter(|_| base.is_none() && config.jitsi.len() == 1);
    found.or_else(only).map(|it| it.name.clone()).ok_or_else(|| {
        "no [[conference.jitsi]] has this DOMAIN_BASE and MUC_DOMAIN_PREFIX; its rooms cannot be entered".to_owned()
    })
}

/// Certificates are believed as for its conference; a pin or a name belongs to that one server.
fn like(config: &Config, conference: &str) -> Trust {
    let trust = config.jitsi.iter().find(|it| it.name == conference).map(|it| &it.site.trust);
    let ca_file = trust.and_then(|trust| trust.ca_file.clone());
    Trust { ca_file, ..Trust::default() }
}

/// Port of XMPP.
const XMPP_PORT: u16 = 5222;

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "[[trunk]]\nname = \"local\"\nsources = [\"127.0.0.0/8\"]\n\
            [[conference.jitsi]]\nname = \"a\"\ndomain = \"a.example.org\"\n\
            [[conference.jitsi]]\nname = \"b\"\ndomain = \"b.example.org\"\nrooms = \"muc.b.example.org\"\n";
        crate::config::parse("weebee.toml", text, std::path::Path::new("")).expect("good")
    }

    fn add(more: &Value) -> Result<Brewery, (u16, Value)> {
        let mut body = json!({
            "id": "acc-xmpp-2",
            "ACCOUNT_UID": "Jabber:jigasi@auth.b.example.org@b.example.org",
            "USER_ID": "jigasi@auth.b.example.org",
            "PASSWORD": "secret",
            "SERVER_ADDRESS": "192.0.2.7",
            "IS_SERVER_OVERRIDDEN": "true",
            "BREWERY": "JigasiBrewery@internal.auth.b.example.org",
            "DOMAIN_BASE": "b.example.org",
        });
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        let body = body.to_string();
        match read(&config(), "add", "POST", body.as_bytes())? {
            Ask::Add(brewery) => Ok(*brewery),
            ask => panic!("{ask:?}"),
        }
    }

    #[test]
    fn an_account_of_jigasi_becomes_a_brewery() {
        let brewery = add(&json!({})).expect("good");
        assert_eq!((brewery.name.as_str(), brewery.conference.as_str()), ("acc-xmpp-2", "b"));
        assert_eq!(brewery.room, "jigasibrewery@internal.auth.b.example.org");
        assert_eq!(brewery.allowed, [brewery.room.as_str()]);
        assert_eq!(
            (brewery.user.reveal().as_str(), brewery.site.domain.as_str()),
            ("jigasi", "auth.b.example.org")
        );
        let tcp = |host: &str, port| Transport::Tcp {
            host: host.to_owned(),
            port,
            encryption: Encryption::Required,
        };
        assert_eq!(brewery.site.transport, tcp("192.0.2.7", 5222));
        assert!(!brewery.site.trust.insecure);
        let brewery =
            add(&json!({ "SERVER_PORT": 6222, "MUC_DOMAIN_PREFIX": "muc" })).expect("good");
        assert_eq!(brewery.site.transport, tcp("192.0.2.7", 6222));
        let bosh = json!({ "USE_BOSH": "true", "BOSH_URL_PATTERN": "https://{host}/http-bind?room={roomName}" });
        let brewery = add(&bosh).expect("good");
        assert!(
            matches!(brewery.site.transport, Transport::Bosh(it) if it.host == "auth.b.example.org")
        );
    }

    #[test]
    fn what_cannot_be_is_a_400() {
        for more in [
            json!({ "BREWERY": "" }),
            json!({ "BREWERY": "internal" }),
            json!({ "USER_ID": "jigasi" }),
            json!({ "USER_ID": "@b.example.org" }),
            json!({ "USER_ID": "ji gasi@b.example.org" }),
            json!({ "USER_ID": "jigasi\u{0}@b.example.org" }),
            json!({ "PASSWORD": "a\u{0}b" }),
            json!({ "REGION": "a\u{1}b" }),
            json!({ "PASSWORD": null }),
            json!({ "SERVER_PORT": "x" }),
            json!({ "SERVER_ADDRESS": "a b" }),
            json!({ "DOMAIN_BASE": "c.example.org" }),
            json!({ "MUC_DOMAIN_PREFIX": "rooms" }),
            json!({ "id": "a.b" }),
            json!({ "id": 7 }),
        ] {
            let (status, body) = add(&more).expect_err("refused");
            assert_eq!(status, 400, "{more}");
            let said = body["error"].as_str().expect("it says why");
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn paths_and_methods_answer_as_jigasi() {
        let ask = |path: &str, method: &str, body: &str| {
            read(&config(), path, method, body.as_bytes()).map_err(|(status, _)| status)
        };
        assert!(matches!(ask("list", "GET", ""), Ok(Ask::List)));
        assert!(
            matches!(ask("remove", "POST", "{\"id\":\"x\"}"), Ok(Ask::Remove(id)) if id == "x")
        );
        for (path, method, body, status) in [
            ("list", "POST", "", 405),
            ("add", "GET", "", 405),
            ("nothing", "GET", "", 404),
            ("", "GET", "", 404),
            ("add", "POST", "", 400),
            ("add", "POST", "[]", 400),
            ("remove", "POST", "{}", 400),
            ("remove", "POST", "{\"id\":1}", 400),
        ] {
            assert_eq!(
                ask(path, method, body).expect_err("refused"),
                status,
                "{method} {path} {body}"
            );
        }
    }
}
