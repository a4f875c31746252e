//! Programs of the owner: what `[api]` and `[hooks]` let one expect trouble from, and with `--live` whether a hook answers.

use std::net::IpAddr;
use std::time::Duration;

use gateway_core::io::wall_clock;
use gateway_core::io::xmpp::WebAddress;
use serde_json::json;

use super::Finding;
use crate::config::Config;
use crate::config::hooks::Hooks;
use crate::hooks::post::{Letter, Post, PostFailure};
use crate::wall::rfc3339;

/// What is legal but will disappoint, without asking anybody.
pub fn doubts(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let outside = config.http.listen.filter(|address| !address.ip().is_loopback());
    if let Some(address) = outside.filter(|_| config.api.is_some()) {
        let text = format!(
            "api: tokens travel openly to {address}; listen on 127.0.0.1 behind a proxy with a certificate, unless only \
             your own containers are on the way"
        );
        found.push(Finding::warning(0, text));
    }
    if let Some(hooks) = &config.hooks {
        for (key, address) in addresses(hooks) {
            if !address.secure && !is_here(&address.host) {
                let text = format!(
                    "hooks: {key}: bodies travel openly to {}; write https:// unless only your own containers are on \
                     the way",
                    address.host
                );
                found.push(Finding::warning(hooks.line, text));
            }
        }
    }
    found
}

/// Sends a signed `ping` to each hook.
pub async fn findings(config: &Config) -> Vec<Finding> {
    let Some(hooks) = &config.hooks else { return Vec::new() };
    let mut found = Vec::new();
    for (key, address) in addresses(hooks) {
        let said = ping(hooks, address).await;
        found.push(match said {
            Ok(()) => Finding::good(hooks.line, format!("hooks: {key}: {address} takes a ping")),
            Err(what) => Finding::wrong(hooks.line, format!("hooks: {key}: {what}")),
        });
    }
    found
}

async fn ping(hooks: &Hooks, address: &WebAddress) -> Result<(), String> {
    let post = Post::new(address.clone(), &hooks.trust, hooks.secret.clone())?;
    let body = json!({ "event": "ping", "id": "check", "time": rfc3339(wall_clock()) }).to_string();
    let letter = Letter { event: "ping", id: "check", body: &body };
    match post.send(letter, PING_WITHIN).await {
        Ok(_) => Ok(()),
        Err(PostFailure::Later(what) | PostFailure::Refused(what)) => Err(what),
    }
}

fn addresses(hooks: &Hooks) -> impl Iterator<Item = (&'static str, &WebAddress)> {
    let route = hooks.route.as_ref().map(|hook| ("route_url", &hook.address));
    let event = hooks.event.as_ref().map(|hook| ("event_url", &hook.address));
    route.into_iter().chain(event)
}

/// Whether this host is the machine itself.
fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

const PING_WITHIN: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;

    use super::*;
    use crate::check::Weight;
    use crate::testing::Folder;

    fn config(folder: &Folder, text: &str) -> Config {
        use std::os::unix::fs::PermissionsExt;
        let file = folder.path().join("secret");
        std::fs::write(&file, "sixteen-letters-of-a-secret").expect("written");
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).expect("ours");
        let text = format!("[[trunk]]\nname = \"a\"\nsources = [\"::1\"]\n{text}");
        crate::config::parse("test.toml", &text, folder.path()).expect("a good configuration")
    }

    fn told_at(url: &str) -> String {
        format!("[hooks]\nsecret_file = \"secret\"\nevent_url = \"{url}\"\n")
    }

    #[test]
    fn what_travels_openly_is_doubted() {
        let folder = Folder::new("programs");
        let said = |text: &str| {
            let found = doubts(&config(&folder, text));
            found.into_iter().map(|finding| finding.text).collect::<Vec<_>>()
        };
        assert!(
            said(&told_at("http://hooks.test/x"))[0].contains("event_url: bodies travel openly")
        );
        for good in ["https://hooks.test/x", "http://127.0.0.1:81/x", "http://localhost/x"] {
            assert_eq!(said(&told_at(good)), Vec::<String>::new(), "{good}");
        }
        let api = "[http]\nlisten = \"192.0.2.1:8788\"\ntoken_file = \"secret\"\n[api]\ntoken_files = [\"secret\"]\n";
        assert!(said(api)[0].contains("tokens travel openly"));
        assert!(said("[api]\ntoken_files = [\"secret\"]\n").is_empty());
    }

    #[tokio::test]
    async fn a_ping_says_whether_a_hook_works() {
        let folder = Folder::new("programs-ping");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let routes = Router::new().route("/good", post(async || "{}"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        for (path, weight, words) in
            [("good", Weight::Good, "takes a ping"), ("bad", Weight::Wrong, "check the address")]
        {
            let config = config(&folder, &told_at(&format!("http://{address}/{path}")));
            let found = findings(&config).await;
            assert_eq!((found.len(), found[0].weight), (1, weight), "{found:?}");
            assert!(found[0].text.contains(words), "{found:?}");
        }
    }
}
