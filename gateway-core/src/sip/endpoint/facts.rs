//! What routing may know of an INVITE, and the small readings of commands.

use super::{InviteFacts, OutgoingInvite, UaCommand};
use crate::base::ids::DialogKey;
use crate::base::pii::Pii;
use crate::sip::outbox::Path;
use crate::sip::trunk::{Account, TrunkConfig};
use crate::sip::wire::incoming::address;
use crate::sip::wire::{HeaderName, Incoming, text};

/// The facts of an INVITE. `trunk`: whose; identity and routing headers of a trusted one are believed. Where we have an
/// account, that stands in the Request-URI of all calls to us, and the number is in To.
pub fn of_invite(incoming: &Incoming, path: Path, trunk: Option<&TrunkConfig>) -> InviteFacts {
    let is_trusted = trunk.is_some_and(|trunk| trunk.trusted);
    let wanted = trunk.map_or(&[][..], |trunk| &trunk.headers);
    let account = trunk.and_then(|trunk| trunk.account.as_ref());
    let account = account.map(|account| account.user.as_str());
    let headers = &incoming.request.headers;
    let asserted = is_trusted.then(|| address(headers, &HeaderName::PAssertedIdentity)).flatten();
    let from = asserted.as_ref().unwrap_or(&incoming.from);
    let wants_privacy = text::value(headers, &HeaderName::Privacy).is_some_and(|privacy| {
        privacy.split(';').any(|value| matches!(value.trim(), "id" | "user" | "header"))
    });
    let from_user = text::user_of(&incoming.from.uri);
    let is_anonymous =
        wants_privacy || from_user.eq_ignore_ascii_case("anonymous") || is_invalid(&incoming.from);
    let name = from.display_name.as_deref().or(incoming.from.display_name.as_deref());
    let (caller, caller_name) = match is_anonymous {
        true => (String::new(), String::new()),
        false => (text::user_of(&from.uri), name.map(text::decode).unwrap_or_default()),
    };
    let (request_user, to_user) =
        (text::user_of(&incoming.request.uri), text::user_of(&incoming.to.uri));
    let is_account = account.is_some_and(|account| account == request_user) && !to_user.is_empty();
    InviteFacts {
        request_user: Pii::new(if is_account { to_user } else { request_user }),
        request_host: text::host_of(&incoming.request.uri),
        to_user: Pii::new(text::user_of(&incoming.to.uri)),
        caller: Pii::new(caller),
        caller_name: Pii::new(caller_name),
        anonymous: is_anonymous,
        call_id: text::decode(&incoming.call_id),
        headers: routing_headers(incoming, is_trusted, wanted),
        source: Some(path.peer),
        listener: path.listener,
    }
}

/// `anonymous.invalid` (RFC 3261 §8.1.1.3, RFC 3323).
fn is_invalid(from: &crate::sip::wire::Address) -> bool {
    text::host_of(&from.uri).to_ascii_lowercase().ends_with(".invalid")
}

/// Headers that routing knows by name, in order, at most [`HEADERS_MAX`]; of a trunk that is not trusted those alone that
/// prove themselves.
fn routing_headers(
    incoming: &Incoming,
    is_trusted: bool,
    wanted: &[String],
) -> Vec<(String, Pii<String>)> {
    incoming
        .request
        .headers
        .iter()
        .filter(|header| match is_trusted {
            true => is_for_routing(header.name()) || is_wanted(header.name(), wanted),
            false => proves_itself(header.name()),
        })
        .take(HEADERS_MAX)
        .map(|header| {
            let name = text::decode(header.name().canonical());
            (name, Pii::new(text::decode(&header.value())))
        })
        .collect()
}

fn is_for_routing(name: &HeaderName) -> bool {
    match name {
        HeaderName::HistoryInfo => true,
        HeaderName::Other(raw) => {
            let lower = raw.to_ascii_lowercase();
            lower.starts_with(b"x-")
                || lower.starts_with(b"jitsi-")
                || lower == b"diversion"
                || lower == b"user-to-user"
        }
        _ => false,
    }
}

fn is_wanted(name: &HeaderName, wanted: &[String]) -> bool {
    wanted.iter().any(|it| it.as_bytes().eq_ignore_ascii_case(name.canonical()))
}

/// A ticket is worth what its giver remembers of it, whoever shows it.
fn proves_itself(name: &HeaderName) -> bool {
    matches!(name, HeaderName::Other(raw) if raw.eq_ignore_ascii_case(b"x-wb-ticket"))
}

/// From of a call of ours, without its tag.
pub fn local_address(invite: &OutgoingInvite, account: Option<&Account>, host: &str) -> String {
    let host = account.map_or(host, |account| account.domain.as_str());
    let user = text::escaped_user(invite.from_user.reveal());
    let address = match (user.as_str(), account) {
        ("", Some(account)) => account.address(),
        ("", None) => format!("<sip:{host}>"),
        (user, _) => format!("<sip:{user}@{host}>"),
    };
    match invite.from_name.reveal().as_str() {
        "" => address,
        name => format!("{} {address}", text::quoted(name)),
    }
}

/// The dialog a command is for.
pub fn dialog_of(command: &UaCommand) -> DialogKey {
    match command {
        UaCommand::Ring { dialog, .. }
        | UaCommand::Accept { dialog, .. }
        | UaCommand::Reject { dialog, .. }
        | UaCommand::Answer { dialog, .. }
        | UaCommand::RefuseOffer { dialog, .. }
        | UaCommand::Offer { dialog, .. }
        | UaCommand::Info { dialog, .. }
        | UaCommand::End { dialog, .. }
        | UaCommand::EndSaying { dialog, .. } => *dialog,
    }
}

/// Routing headers handed on. More are of no use to a dialplan.
const HEADERS_MAX: usize = 32;
