//! Every cap in one file, with the sum that chose it. A machine that meets its cap drops the newest, drops
//! the oldest, refuses, or ends that call: each says which, and counts.

/// Largest SIP datagram or message on a stream, in bytes: what UDP can carry.
pub const SIP_MESSAGE_BYTES_MAX: usize = 65_535;
/// Largest SDP body we read, in bytes. A browser-sized offer is 12 KB. Larger: 488.
pub const SDP_BYTES_MAX: usize = 32_768;
/// Media descriptions in one SDP. Larger: 488.
pub const SDP_MEDIA_MAX: usize = 8;
/// Digits kept from answer to the end of a question: 15 digits of PIN, `#` and 4 s of impatience at 4 keys
/// per second. Full: drop the newest.
pub const DIGITS_BUFFERED_MAX: usize = 32;
/// Outputs one machine may hold between two drains. Overflow ends the call, not the process.
pub const OUTPUTS_PENDING_MAX: usize = 1_024;
/// Largest RTP or RTCP datagram, in bytes (Ethernet MTU).
pub const RTP_DATAGRAM_BYTES_MAX: usize = 1_500;
/// Packets one jitter buffer holds: 64 of 20 ms are 1.28 s. Full: drop the oldest.
pub const JITTER_PACKETS_MAX: usize = 64;
/// Members of one embedded room. Over it: the caller hears that the room is full.
pub const ROOM_MEMBERS_MAX: usize = 512;
/// Streams decoded and mixed at once for one room.
pub const LOUDEST_STREAMS_MAX: usize = 3;
/// Commands a shard takes per 5 ms wake, so that a burst of set-ups never delays audio: 256 take about 2 ms. A call
/// needs eight, so a shard sets up 6,400 calls a second (with 64 it was 1,600, and a trunk with more made the ring full).
pub const SHARD_COMMANDS_PER_WAKE: usize = 256;
/// Entries of each ring between signalling and one shard: 1,000 calls from their set-up to their end.
pub const SHARD_RING_CAPACITY: usize = 8_192;
/// Free entries below which new calls get 503: the shard is a third of a second behind, and the calls that are there
/// need the rest for their end.
pub const SHARD_RING_RESERVE: usize = SHARD_RING_CAPACITY / 2;
/// SIP transactions alive or lingering: 2,500 calls/s leave two each for 32 s. Full: new calls get 503.
pub const SIP_TRANSACTIONS_MAX: usize = 200_000;
/// Dialogs that are over for their owner but still wait for a last answer. Full: new calls get 503.
pub const SIP_DIALOGS_CLOSING_MAX: usize = 20_000;
/// Body of an INFO other than a key, in bytes: the longest that Jigasi's protocol has is 120. Longer: ignored.
pub const SIP_INFO_BODY_MAX: usize = 4_096;
/// INFOs that wait for their turn in one dialog: what a lobby and a moderator say in half a minute. Full: the newest is
/// given up.
pub const SIP_INFOS_WAITING_MAX: usize = 32;
/// Routes kept from Record-Route. A longer path: 400.
pub const SIP_ROUTES_MAX: usize = 16;
/// Formats read in one media description: 128 payload types exist, nobody offers half of them. More: not read.
pub const SDP_FORMATS_MAX: usize = 64;
/// Text of one attribute or name in a stanza, in bytes: JIDs have 3,071 at most, the rest is shorter. Longer: ignored.
pub const JITSI_WORD_BYTES_MAX: usize = 4_096;
/// JSON in a stanza or on the bridge channel, in bytes: 300 sources are 40 KB, with video 400 KB. Longer: ignored.
pub const JITSI_JSON_BYTES_MAX: usize = 1 << 20;
/// Sources of sound in one conference: bridges are configured for a few hundred talkers. More: the newest are unheard.
pub const JITSI_SOURCES_MAX: usize = 300;
/// Contents of a Jingle session: sound, picture, data. More: not read.
pub const JINGLE_CONTENTS_MAX: usize = 8;
/// Candidates of a transport: a bridge with ten addresses has thirty. More: not read.
pub const JINGLE_CANDIDATES_MAX: usize = 32;
/// Fingerprints of a transport. More: not read.
pub const JINGLE_FINGERPRINTS_MAX: usize = 4;
/// Payload types or header extensions of one content. More: not read.
pub const JINGLE_FORMATS_MAX: usize = 64;
