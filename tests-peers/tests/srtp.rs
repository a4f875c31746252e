//! Our SRTP against C libsrtp: what one protects the other reads, both ways, for every profile, over a wrap of the
//! sequence numbers; what was changed or repeated neither of them takes.
//!
//! libsrtp runs as a process of its own (`webrtc/srtp_peer.c`, compiled here), one line a packet.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use gateway_core::rtp::srtp::{SrtpProfile, SrtpReceiver, SrtpSender, TRAILER_BYTES_MAX};
use gateway_tests_peers::require::{Peer, all_there, repository};
use gateway_tests_peers::world::World;

const PROFILES: [(SrtpProfile, &str); 4] = [
    (SrtpProfile::AesCm128Sha1_80, "cm80"),
    (SrtpProfile::AesCm128Sha1_32, "cm32"),
    (SrtpProfile::AeadAes128Gcm, "gcm128"),
    (SrtpProfile::AeadAes256Gcm, "gcm256"),
];
const SSRC: u32 = 0xcafe_babe;
const PACKETS: u16 = 300;

/// libsrtp behind a pipe.
struct LibSrtp {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl LibSrtp {
    fn start(program: &Path, profile: &str, key: &[u8]) -> LibSrtp {
        let mut child = Command::new(program)
            .args([profile, &hex(key)])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program was just compiled");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        LibSrtp { child, input, output }
    }

    /// What it makes of a packet; `Err` with its words when it refuses.
    fn ask(&mut self, verb: &str, packet: &[u8]) -> Result<Vec<u8>, String> {
        writeln!(self.input, "{verb} {}", hex(packet)).expect("libsrtp is there");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("libsrtp is there");
        let line = line.trim();
        assert!(!line.is_empty(), "libsrtp ended");
        if line.starts_with("error") { Err(line.to_owned()) } else { Ok(bytes_of(line)) }
    }
}

impl Drop for LibSrtp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn compiled(world: &World) -> std::path::PathBuf {
    let program = world.folder().join("srtp_peer");
    let source = repository().join("tests-peers/webrtc/srtp_peer.c");
    let done = Command::new("cc")
        .args(["-O1", "-Wall", "-Werror", "-o"])
        .arg(&program)
        .arg(&source)
        .arg("-lsrtp2")
        .output()
        .expect("cc is there");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    program
}

/// RTP with everything a header may have: sources, an extension of either form, every length.
fn rtp(number: u16) -> Vec<u8> {
    let sources = number % 3;
    let extension = number % 4;
    let mut packet = vec![0x80 | sources as u8 | if extension > 0 { 0x10 } else { 0 }, 111];
    packet.extend(number.wrapping_add(65_400).to_be_bytes());
    packet.extend((u32::from(number) * 960).to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    for source in 0..sources {
        packet.extend(u32::from(source).to_be_bytes());
    }
    if extension > 0 {
        packet.extend(if extension == 1 { [0xbe, 0xde] } else { [0x10, 0x00] });
        packet.extend(extension.to_be_bytes());
        packet.extend((0..extension).flat_map(|_| [0x10, 0x8f, 0, 0]));
    }
    packet.extend((0..number * 4 % 1_200).map(|place| (place ^ number) as u8));
    packet
}

/// A sender report, longer with the number.
fn rtcp(number: u16) -> Vec<u8> {
    let blocks = number % 4;
    let words = 6 + 6 * blocks;
    let mut packet = vec![0x80 | blocks as u8, 200];
    packet.extend(words.to_be_bytes());
    packet.extend(SSRC.to_be_bytes());
    packet.resize(4 + 4 * usize::from(words), number as u8);
    packet
}

fn sealed(
    packet: &[u8],
    seal: impl FnOnce(&mut [u8], usize) -> Result<usize, gateway_core::rtp::srtp::SrtpError>,
) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + TRAILER_BYTES_MAX, 0);
    let length = seal(&mut buffer, packet.len()).expect("a fresh number");
    buffer.truncate(length);
    buffer
}

/// One bit other, somewhere: header, payload or tag.
fn changed(packet: &[u8], number: u16) -> Vec<u8> {
    let mut packet = packet.to_vec();
    // Not the first two bytes: another length of the header is another packet, not a forged one.
    let place = 2 + usize::from(number) * 31 % (packet.len() - 2);
    packet[place] ^= 1 << (number % 8);
    packet
}

#[test]
fn libsrtp_and_ours_read_each_other() {
    if !all_there("libsrtp_and_ours_read_each_other", &[Peer::LibSrtp]) {
        return;
    }
    let world = World::new("srtp");
    let program = compiled(&world);
    for (profile, name) in PROFILES {
        let key: Vec<u8> = (0..profile.key_bytes()).map(|n| n as u8 * 7 + 3).collect();
        let salt: Vec<u8> = (0..profile.salt_bytes()).map(|n| n as u8 * 5 + 1).collect();
        let mut foreign = LibSrtp::start(&program, name, &[key.clone(), salt.clone()].concat());
        let mut sender = SrtpSender::new(profile, &key, &salt).expect("right lengths");
        let mut receiver = SrtpReceiver::new(profile, &key, &salt).expect("right lengths");
        for number in 0..PACKETS {
            let plain = rtp(number);
            let ours = sealed(&plain, |room, length| sender.protect_rtp(room, length));
            assert!(foreign.ask("ur", &changed(&ours, number)).is_err(), "{name} {number}");
            assert_eq!(foreign.ask("ur", &ours).as_ref(), Ok(&plain), "{name} {number}");
            assert!(foreign.ask("ur", &ours).is_err(), "{name} {number}: twice");

            let mut theirs = foreign.ask("pr", &plain).expect("libsrtp protects");
            assert_eq!(hex(&theirs), hex(&ours), "{name} {number}: not the same bytes");
            assert!(receiver.unprotect_rtp(&mut changed(&theirs, number)).is_err(), "{name}");
            let mut again = theirs.clone();
            let length = receiver.unprotect_rtp(&mut theirs).expect("authentic");
            assert_eq!(theirs[..length], plain, "{name} {number}");
            assert!(receiver.unprotect_rtp(&mut again).is_err(), "{name} {number}: twice");
        }
        for number in 0..PACKETS {
            let plain = rtcp(number);
            let ours = sealed(&plain, |room, length| sender.protect_rtcp(room, length));
            assert!(foreign.ask("uc", &changed(&ours, number)).is_err(), "{name} {number}");
            assert_eq!(foreign.ask("uc", &ours).as_ref(), Ok(&plain), "{name} RTCP {number}");
            assert!(foreign.ask("uc", &ours).is_err(), "{name} RTCP {number}: twice");

            let mut theirs = foreign.ask("pc", &plain).expect("libsrtp protects");
            assert!(receiver.unprotect_rtcp(&mut changed(&theirs, number)).is_err(), "{name}");
            let mut again = theirs.clone();
            let length = receiver.unprotect_rtcp(&mut theirs).expect("authentic");
            assert_eq!(theirs[..length], plain, "{name} RTCP {number}");
            assert!(receiver.unprotect_rtcp(&mut again).is_err(), "{name} RTCP {number}: twice");
        }
        println!("{name}: {PACKETS} RTP and {PACKETS} RTCP packets each way, none wrong");
    }
}
