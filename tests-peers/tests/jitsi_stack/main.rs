//! Phones in rooms of a real Jitsi (Prosody with its modules, Jicofo, Jitsi Videobridge), with a web participant whose media
//! is aiortc's: who hears whom, what moderators do, doors, and what happens when a server goes away. Skipped, loudly, where
//! no Jitsi is installed: see `gateway_tests_peers::jitsi::installed`.

mod as_jigasi;
mod dial_out;
mod doors;
mod faults;
mod figures;
mod inside;
mod outages;
mod own_files;
mod stage;
mod trunk;

use gateway_tests_peers::require::{self, Peer};

/// Is everything here that these tests need?
fn all_there(test: &str) -> bool {
    require::all_there(test, &[Peer::Jitsi, Peer::Prosody, Peer::Aiortc, Peer::Speech])
}
