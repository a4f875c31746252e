//! Real peers for the gateway: Asterisk 16 and 22, baresip, SIPp, Kamailio, Chromium and PostgreSQL from Debian, each in a
//! network namespace with nothing but loopback, and an ear that judges what they hear as sound.
//!
//! - [`require`]: is the peer installed? If not: a loud skip with the command that brings it, or a failure when
//!   `WEEBEE_PEERS_REQUIRED=1`.
//! - [`world`]: one test's namespace, folder of logs and clock; everything started in it ends with it, by pid.
//! - [`process`], [`asked`]: a program with its words in a file, and one that takes wishes as JSON lines.
//! - [`asterisk`], [`baresip`], [`sipp`], [`prosody`], [`jitsi`], [`chromium`], [`postgres`],
//!   [`gateway`]: the programs. [`focus`], [`rocketchat`]: stand-ins for two that cannot be had.
//! - [`sound`]: speech made by espeak-ng, WAV files, and the verdict: is it the same speech, how loud, how late.
//! - [`table`]: the verdicts as the table of `docs/interop.md`.
//!
//! Refuses to link the gateway: it is a peer like the others here, and only its outside is tested. Tests of
//! parts that no process shows on its own (XMPP streams, SRTP, the transport towards a bridge, the PIN registry) link the
//! core or the daemon themselves.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod asked;
pub mod asterisk;
pub mod baresip;
pub mod chromium;
pub mod focus;
pub mod gateway;
pub mod jitsi;
pub mod postgres;
pub mod process;
pub mod prosody;
pub mod require;
pub mod rocketchat;
pub mod sipp;
pub mod sound;
pub mod table;
pub mod world;
