//! What a Rocket.Chat workspace lets the bot do. Reads, and writes nothing but the webhook that was asked for.

use serde_json::Value;

use super::Finding;
use crate::config::Config;
use crate::config::rocketchat::RocketChat;
use crate::pin::mint::Issuer;
use crate::rocketchat::NotOurs;
use crate::rocketchat::api::{self, Api, ApiFailure, CallRecord, Webhook};
use crate::rocketchat::http::Web;
use gateway_core::leg::backend::RoomName;

/// What else is wanted.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// A room that the bot should see.
    pub room: Option<String>,
    /// Where a new outgoing webhook should knock.
    pub webhook: Option<String>,
}

/// What a legal configuration of a workspace lets one expect trouble from, without asking anybody.
pub fn doubts(config: &Config, workspace: &RocketChat) -> Vec<Finding> {
    let (title, line) = (format!("rocketchat {:?}", workspace.name), workspace.line);
    let mut found = Vec::new();
    let host = &workspace.address.host;
    let is_here = host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    if !workspace.address.secure && !is_here {
        let what = format!(
            "{title}: url: the bot's token travels openly to {host}; write https:// unless only your own containers are \
             on the way"
        );
        found.push(Finding::warning(line, what));
    }
    let origin = &workspace.origin;
    let sample =
        RoomName::new(&format!("{}6657aabbcc0011223344556f{}", origin.prefix, origin.suffix));
    if let Ok(sample) = sample {
        let rules = config.rooms.rules(&sample);
        if rules.backend != workspace.jitsi {
            let what = format!(
                "{title}: a [[room_policy]] sends its meetings to backend {:?}, so that phones would be alone; write \
                 backend = {:?} there",
                rules.backend, workspace.jitsi
            );
            found.push(Finding::wrong(line, what));
        }
        if !rules.mint.contains(&Issuer::Chat) {
            let what = format!(
                "{title}: the policy of its rooms gives no PINs to \"chat\"; add it to `mint`"
            );
            found.push(Finding::wrong(line, what));
        }
    }
    found
}

/// Asks a workspace.
pub async fn findings(workspace: &RocketChat, wish: &Wish) -> Vec<Finding> {
    let (user, token) = (workspace.user.clone(), workspace.token.clone());
    let title = format!("rocketchat {:?}", workspace.name);
    match Web::new(workspace.address.clone(), &workspace.trust, user, token) {
        Ok(web) => {
            let mut visit = Visit { workspace, web, title, found: Vec::new() };
            // Each step says why it stopped.
            let _: Option<()> = visit.walk(wish).await;
            visit.found
        }
        Err(what) => vec![Finding::wrong(workspace.line, format!("{title}: {what}"))],
    }
}

struct Visit<'a> {
    workspace: &'a RocketChat,
    web: Web,
    title: String,
    found: Vec<Finding>,
}

impl Visit<'_> {
    async fn walk(&mut self, wish: &Wish) -> Option<()> {
        self.version().await;
        self.who_we_are().await?;
        if let Some(room) = &wish.room {
            self.room(room).await;
        }
        if let Some(url) = &wish.webhook {
            self.webhook(url).await;
        }
        Some(())
    }

    async fn ask(&self, api: &Api) -> Result<Value, ApiFailure> {
        self.web.ask(&api.request()).await
    }

    /// Old servers say it to everybody, newer ones to admins alone.
    async fn version(&mut self) {
        if let Ok(answer) = self.ask(&Api::Info).await {
            let info = answer.get("info").unwrap_or(&answer);
            if let Some(version) = info.get("version").and_then(Value::as_str) {
                let version: String =
                    version.chars().filter(char::is_ascii_graphic).take(20).collect();
                self.good(format!("Rocket.Chat {version} answers"));
            }
        }
    }

    async fn who_we_are(&mut self) -> Option<()> {
        let me = match self.ask(&Api::Me).await {
            Ok(me) => me,
            Err(failure) => {
                self.wrong(failure.to_string());
                return None;
            }
        };
        if me.get("_id").and_then(Value::as_str) != Some(self.workspace.user.as_str()) {
            self.wrong(
                "user_id: the token belongs to another user; write the id that was shown with it"
                    .to_owned(),
            );
            return None;
        }
        let name = me.get("username").and_then(Value::as_str).unwrap_or("?");
        let name: String = name.chars().filter(|sign| !sign.is_control()).take(60).collect();
        self.good(format!("the token is good; the bot is @{name}"));
        let roles = api::roles(&me);
        if !roles.iter().any(|role| role == "user") {
            self.warning(
                "the bot has no role `user`, without which it cannot see public rooms; add it"
                    .to_owned(),
            );
        }
        if !roles.iter().any(|role| role == "bot") {
            self.warning(
                "the bot has no role `bot`: Rocket.Chat limits its requests (10 a minute and address); add it".to_owned(),
            );
        }
        if roles.iter().any(|role| role == "admin") {
            self.warning(
                "the bot is admin, which it need not be; take the role away after the setup"
                    .to_owned(),
            );
        }
        Some(())
    }

    /// Can the bot see it, and do the calls there look like ours?
    async fn room(&mut self, name: &str) {
        let room = match self.ask(&Api::RoomNamed(name.to_owned())).await {
            Ok(answer) => answer
                .get("room")
                .and_then(|room| room.get("_id")?.as_str().and_then(crate::rocketchat::Id::new)),
            Err(failure) => {
                return self.wrong(format!(
                    "room {name:?}: {failure}; invite the bot there (/invite), or check the name"
                ));
            }
        };
        let Some(room) = room else {
            return self.wrong(format!("room {name:?}: no id in the answer"));
        };
        self.good(format!("the bot sees the room {name:?}"));
        match self.ask(&Api::CallsOf(room)).await {
            Ok(answer) => match api::call_records(&answer).first() {
                Some(record) => self.last_call(record),
                None => self.warning(format!(
                    "room {name:?} had no call yet: start one with the call button and run this again, to see host and prefix"
                )),
            },
            Err(failure) => self.wrong(format!("calls of room {name:?}: {failure}")),
        }
    }

    fn last_call(&mut self, record: &CallRecord) {
        let origin = &self.workspace.origin;
        if record.provider != "jitsi" {
            let provider = &record.provider;
            return self.wrong(format!(
                "the last call there was by {provider:?}; choose Jitsi as provider of conference calls in Rocket.Chat"
            ));
        }
        match origin.room_of_url(record.url.reveal()) {
            Ok(_) => self.good("the last call there has our host and prefix".to_owned()),
            Err(NotOurs::OtherHost) => self.wrong(format!(
                "hosts: the last call there is on a host that is none of {:?}; add it, or set jitsi_domain of the Jitsi app",
                origin.hosts
            )),
            Err(NotOurs::OtherOrigin) => self.wrong(format!(
                "prefix: the last call there does not begin with {:?} or end with {:?}; write the prefix and suffix of the \
                 Jitsi app here",
                origin.prefix, origin.suffix
            )),
            Err(other) => self.wrong(format!("the address of the last call there {other}")),
        }
    }

    async fn webhook(&mut self, url: &str) {
        let Some(token) = self.workspace.webhook_token.clone() else {
            return self.wrong(
                "webhook_token_file: a webhook needs a secret; put a random text of 16 characters or more there".to_owned(),
            );
        };
        let words = &self.workspace.words;
        let webhook = Webhook {
            name: format!("WeeBee dial-in ({})", self.workspace.name),
            username: "rocket.cat".to_owned(),
            url: url.to_owned(),
            words: vec![words.dial_in.clone(), words.call_me.clone()],
            token,
        };
        let there = self.ask(&Api::Webhooks).await;
        let there = there.as_ref().ok().and_then(|it| it.get("integrations")?.as_array());
        let same =
            |it: &Value| it.get("name").and_then(Value::as_str) == Some(webhook.name.as_str());
        if there.is_some_and(|list| list.iter().any(same)) {
            return self.good(format!("the webhook {:?} is there already", webhook.name));
        }
        match self.ask(&Api::MakeWebhook(webhook)).await {
            Ok(_) => self.good(format!("the outgoing webhook to {url} is made")),
            Err(failure) => self.wrong(format!(
                "webhook: {failure}; give the bot the permission manage-outgoing-integrations for this once, or make it \
                 by hand as docs/rocketchat.md says"
            )),
        }
    }

    fn good(&mut self, what: String) {
        self.found.push(Finding::good(self.workspace.line, format!("{}: {what}", self.title)));
    }

    fn warning(&mut self, what: String) {
        self.found.push(Finding::warning(self.workspace.line, format!("{}: {what}", self.title)));
    }

    fn wrong(&mut self, what: String) {
        self.found.push(Finding::wrong(self.workspace.line, format!("{}: {what}", self.title)));
    }
}
