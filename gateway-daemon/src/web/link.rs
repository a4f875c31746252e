//! Links to rooms: who has one may enter by browser until it expires.
//!
//! A pass is a role, an end and a keyed hash over both and the room. Nothing is stored: whoever has the server's key can
//! make and check them. It stands behind the `#` of the link, where browsers keep it to themselves.

use gateway_core::leg::backend::{Role, RoomName};

use super::answer::escaped;
use crate::pin::key::PinKey;

/// Why a pass does not open the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPass {
    /// None, cut short, of another room, or of another gateway.
    Wrong,
    /// Genuine, and too old.
    Expired,
}

/// The link of a room for everybody of this standing until `expires` (Unix time in seconds).
pub fn link(url: &str, key: &PinKey, room: &RoomName, role: Role, expires: u64) -> String {
    format!("{url}/room/{}#{}", escaped(room.as_str()), pass(key, room, role, expires))
}

/// `g-65f0c1d2-0123456789abcdef0123456789abcdef`.
pub fn pass(key: &PinKey, room: &RoomName, role: Role, expires: u64) -> String {
    let role = if role == Role::Host { "h" } else { "g" };
    format!("{role}-{expires:x}-{}", seal(key, room, role, expires))
}

/// Whom the pass lets in, at `now` (Unix time in seconds).
pub fn check(key: &PinKey, room: &RoomName, pass: &str, now: u64) -> Result<Role, BadPass> {
    let mut parts = pass.splitn(3, '-');
    let (role, expires) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let expires = u64::from_str_radix(expires, 16).map_err(|_| BadPass::Wrong)?;
    let given = parts.next().unwrap_or_default();
    if !crate::rest::same(given, &seal(key, room, role, expires)) {
        return Err(BadPass::Wrong);
    }
    match role {
        _ if expires <= now => Err(BadPass::Expired),
        "h" => Ok(Role::Host),
        _ => Ok(Role::Guest),
    }
}

/// 128 bits: nobody guesses them.
fn seal(key: &PinKey, room: &RoomName, role: &str, expires: u64) -> String {
    let tag = key.tag("room-link", &format!("{role}-{expires:x}-{}", room.as_str()));
    tag.0.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::new(name).expect("a name")
    }

    #[test]
    fn a_pass_opens_its_room_until_it_expires_and_nothing_else() {
        let key = PinKey::from_bytes([7; 32]);
        for role in [Role::Guest, Role::Host] {
            let pass = pass(&key, &room("Tea"), role, 1_000);
            assert_eq!(check(&key, &room("tea"), &pass, 999), Ok(role));
            assert_eq!(check(&key, &room("tea"), &pass, 1_000), Err(BadPass::Expired));
            assert_eq!(check(&key, &room("board"), &pass, 0), Err(BadPass::Wrong));
            let other = PinKey::from_bytes([8; 32]);
            assert_eq!(check(&other, &room("tea"), &pass, 0), Err(BadPass::Wrong));
        }
    }

    #[test]
    fn a_changed_pass_opens_nothing() {
        let key = PinKey::from_bytes([7; 32]);
        let good = pass(&key, &room("tea"), Role::Guest, 0x1000);
        let host = good.replacen('g', "h", 1);
        let later = good.replacen("1000", "2000", 1);
        let short = &good[..good.len() - 1];
        for bad in [&host, &later, short, "", "-", "g", "g-1000", "g-1000-", "g-zz-00", "x--"] {
            assert_eq!(check(&key, &room("tea"), bad, 0), Err(BadPass::Wrong), "{bad}");
        }
        for at in 0..good.len() {
            let mut bytes = good.clone().into_bytes();
            bytes[at] ^= 1;
            let Ok(bad) = String::from_utf8(bytes) else { continue };
            assert!(check(&key, &room("tea"), &bad, 0).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_link_carries_any_name() {
        let key = PinKey::from_bytes([7; 32]);
        let link = link("https://x.example", &key, &room("ruang teh/чай"), Role::Guest, 16);
        let start = "https://x.example/room/ruang%20teh%2F%D1%87%D0%B0%D0%B9#g-10-";
        assert!(link.starts_with(start) && link.len() == start.len() + 32, "{link}");
    }
}
