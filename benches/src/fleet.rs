//! A fleet of phones in one thread: one SIP socket, one RTP socket, speech encoded beforehand. Every phone talks all the
//! time; what a few of them hear is kept and judged.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use gateway_core::media::codec::{CodecKind, EncoderSettings, new_encoder};
use gateway_core::media::frame::SampleRate;

use crate::sip_text::{Dialog, Message, offer};
use crate::sound::{HeardPacket, Match, align, decode_all};

/// One phone to be.
#[derive(Clone, Debug)]
pub struct PhonePlan {
    /// Its room.
    pub room: String,
    /// Its codec.
    pub codec: CodecKind,
    /// Its voice: an index into the voices.
    pub voice: usize,
    /// The phone whose voice it should hear, if what it hears is to be judged.
    pub judge_against: Option<usize>,
}

/// Speech at each rate, at least half a minute, heard again and again.
pub struct Voice {
    /// At 8 kHz: what it is judged by.
    pub narrow: Vec<i16>,
    /// At 16 kHz.
    pub wide: Vec<i16>,
    /// At 48 kHz.
    pub full: Vec<i16>,
}

/// What became of one phone.
#[derive(Clone, Copy, Debug, Default)]
pub struct PhoneResult {
    /// Its call was answered.
    pub answered: bool,
    /// RTP packets it got in the window.
    pub received: u64,
    /// Packets missing by sequence number in the window.
    pub lost: u64,
    /// How the voice it was to hear lay in what it heard.
    pub heard: Option<Match>,
}

/// When things happen.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// New calls per second.
    pub calls_per_second: f64,
    /// From the last INVITE to the window.
    pub settle: Duration,
    /// The window in which all is counted.
    pub window: Duration,
}

/// Runs all calls; `at_window` is called at the start (`true`) and the end (`false`) of the window.
pub fn run(
    plans: &[PhonePlan],
    voices: &[Voice],
    gateway: SocketAddr,
    timing: Timing,
    at_window: &mut dyn FnMut(bool),
) -> io::Result<Vec<PhoneResult>> {
    Fleet::new(plans, voices, gateway)?.run(timing, at_window)
}

struct Fleet<'a> {
    plans: &'a [PhonePlan],
    voices: &'a [Voice],
    speech: BTreeMap<(usize, CodecKind), Vec<Vec<u8>>>,
    sip: UdpSocket,
    rtp: UdpSocket,
    gateway: SocketAddr,
    phones: Vec<Phone>,
    by_port: BTreeMap<u16, usize>,
    in_window: bool,
}

struct Phone {
    dialog: Dialog,
    invite: String,
    repeat_at: Option<Instant>,
    remote: Option<SocketAddr>,
    frame: u64,
    first_frame_at: Option<Instant>,
    result: PhoneResult,
    highest: Option<u16>,
    heard: Vec<(Instant, u16, Vec<u8>)>,
}

impl<'a> Fleet<'a> {
    fn new(plans: &'a [PhonePlan], voices: &'a [Voice], gateway: SocketAddr) -> io::Result<Self> {
        let sip = UdpSocket::bind("127.0.0.1:0")?;
        let rtp = UdpSocket::bind("127.0.0.1:0")?;
        sip.set_nonblocking(true)?;
        rtp.set_nonblocking(true)?;
        let mut speech = BTreeMap::new();
        for plan in plans {
            speech
                .entry((plan.voice, plan.codec))
                .or_insert_with(|| encode_all(&voices[plan.voice], plan.codec));
        }
        let phones = plans
            .iter()
            .enumerate()
            .map(|(index, plan)| Phone::new(index, plan, gateway, &sip, &rtp))
            .collect::<io::Result<_>>()?;
        let by_port = BTreeMap::new();
        Ok(Self { plans, voices, speech, sip, rtp, gateway, phones, by_port, in_window: false })
    }

    fn run(
        mut self,
        timing: Timing,
        at_window: &mut dyn FnMut(bool),
    ) -> io::Result<Vec<PhoneResult>> {
        let start = Instant::now();
        let spacing = Duration::from_secs_f64(1.0 / timing.calls_per_second);
        let window_at = start + spacing * self.phones.len() as u32 + timing.settle;
        let end_at = window_at + timing.window;
        let mut tick = 0_u64;
        loop {
            let due = start + TICK * tick as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            self.place_calls(now, start, spacing)?;
            self.read_sip(now)?;
            self.read_rtp(now)?;
            self.send_speech(now, tick)?;
            if !self.in_window && now >= window_at {
                self.in_window = true;
                at_window(true);
            }
            if now >= end_at {
                break;
            }
            tick += 1;
        }
        at_window(false);
        for phone in &self.phones {
            self.sip.send_to(phone.dialog.bye().as_bytes(), self.gateway)?;
        }
        Ok((0..self.phones.len()).map(|index| self.judge(index)).collect())
    }

    fn place_calls(&mut self, now: Instant, start: Instant, spacing: Duration) -> io::Result<()> {
        for (index, phone) in self.phones.iter_mut().enumerate() {
            if phone.result.answered || now < start + spacing * index as u32 {
                continue;
            }
            if phone.repeat_at.is_none_or(|at| now >= at) {
                self.sip.send_to(phone.invite.as_bytes(), self.gateway)?;
                phone.repeat_at = Some(now + Duration::from_millis(500));
            }
        }
        Ok(())
    }

    fn read_sip(&mut self, now: Instant) -> io::Result<()> {
        let mut buffer = [0; 8_192];
        while let Some((length, _)) = receive(&self.sip, &mut buffer)? {
            let Ok(text) = std::str::from_utf8(&buffer[..length]) else { continue };
            let message = Message::new(text);
            let Some(status) = message.status() else {
                if !text.starts_with("ACK ") {
                    self.sip.send_to(message.ok().as_bytes(), self.gateway)?;
                }
                continue;
            };
            let index = message
                .header("Call-ID")
                .and_then(|id| id.strip_prefix("bench-")?.split('-').next()?.parse::<usize>().ok());
            let Some(phone) = index.and_then(|index| self.phones.get_mut(index)) else { continue };
            if !(200..300).contains(&status)
                || !message.header("CSeq").is_some_and(|c| c.contains("INVITE"))
            {
                continue;
            }
            phone.answered(now, &message, self.gateway);
            self.sip.send_to(phone.dialog.ack().as_bytes(), self.gateway)?;
            if let (Some(remote), Some(index)) = (phone.remote, index) {
                self.by_port.insert(remote.port(), index);
            }
        }
        Ok(())
    }

    fn read_rtp(&mut self, now: Instant) -> io::Result<()> {
        let mut buffer = [0; 2_048];
        while let Some((length, from)) = receive(&self.rtp, &mut buffer)? {
            if length < 13 || !self.in_window {
                continue;
            }
            let Some(index) = self.by_port.get(&from.port()) else { continue };
            let judged = self.plans[*index].judge_against.is_some();
            self.phones[*index].packet(now, &buffer[..length], judged);
        }
        Ok(())
    }

    fn send_speech(&mut self, now: Instant, tick: u64) -> io::Result<()> {
        let mut packet = Vec::with_capacity(1_500);
        for (index, phone) in self.phones.iter_mut().enumerate() {
            let Some(remote) = phone.remote else { continue };
            // The fleet's phones send at any of the 20 ms of a period, like a crowd without a common clock.
            if tick % GROUPS != index as u64 * 7 % GROUPS {
                continue;
            }
            let plan = &self.plans[index];
            let frames = &self.speech[&(plan.voice, plan.codec)];
            let payload = &frames[(phone.frame % frames.len() as u64) as usize];
            let row = plan.codec.row();
            packet.clear();
            packet.extend([0x80, row.payload_type | if phone.frame == 0 { 0x80 } else { 0 }]);
            packet.extend((phone.frame as u16).wrapping_add(7).to_be_bytes());
            packet.extend(((phone.frame * u64::from(row.clock_hz / 50)) as u32).to_be_bytes());
            packet.extend((0x1000 + index as u32).to_be_bytes());
            packet.extend(payload);
            let _ = self.rtp.send_to(&packet, remote);
            phone.first_frame_at.get_or_insert(now);
            phone.frame += 1;
        }
        Ok(())
    }

    fn judge(&self, index: usize) -> PhoneResult {
        let mut result = self.phones[index].result;
        let Some(talker) = self.plans[index].judge_against else { return result };
        let Some(sent_at) = self.phones[talker].first_frame_at else { return result };
        let packets = &self.phones[index].heard;
        let Some((_, first, _)) = packets.first() else { return result };
        let packets = packets.iter().map(|(at, sequence, payload)| HeardPacket {
            at: at.saturating_duration_since(sent_at).as_secs_f64(),
            frame: i64::from(sequence.wrapping_sub(*first) as i16),
            payload,
        });
        let (heard_at, heard) = decode_all(packets, self.plans[index].codec);
        let offset = (heard_at * 8_000.0) as i64;
        let voice = &self.voices[self.plans[talker].voice].narrow;
        let needed = offset.max(0) as usize + heard.len();
        let sent: Vec<i16> = voice.iter().copied().cycle().take(needed).collect();
        result.heard = align(&sent, &heard, offset, 400);
        result
    }
}

impl Phone {
    fn new(
        index: usize,
        plan: &PhonePlan,
        gateway: SocketAddr,
        sip: &UdpSocket,
        rtp: &UdpSocket,
    ) -> io::Result<Self> {
        let dialog = Dialog {
            call_id: format!("bench-{index}-{}", sip.local_addr()?.port()),
            local: sip.local_addr()?,
            remote: gateway,
            room: plan.room.clone(),
            to: None,
            target: None,
        };
        let row = plan.codec.row();
        let rtpmap = match row.channels {
            1 => format!("{}/{}", row.name, row.clock_hz),
            channels => format!("{}/{}/{channels}", row.name, row.clock_hz),
        };
        let invite = dialog.invite(&offer(rtp.local_addr()?, row.payload_type, &rtpmap));
        Ok(Self {
            dialog,
            invite,
            repeat_at: None,
            remote: None,
            frame: 0,
            first_frame_at: None,
            result: PhoneResult::default(),
            highest: None,
            heard: Vec::new(),
        })
    }

    fn answered(&mut self, _now: Instant, message: &Message<'_>, gateway: SocketAddr) {
        self.result.answered = true;
        self.dialog.to = message.header("To").map(str::to_owned);
        self.dialog.target = message
            .header("Contact")
            .and_then(|contact| contact.split_once('<')?.1.split('>').next())
            .map(str::to_owned);
        self.remote = message.audio_port().map(|port| SocketAddr::new(gateway.ip(), port));
    }

    fn packet(&mut self, now: Instant, bytes: &[u8], keep: bool) {
        let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
        let step = self.highest.map_or(1, |highest| sequence.wrapping_sub(highest));
        if (1..0x8000).contains(&step) {
            self.result.lost += u64::from(step) - 1;
            self.highest = Some(sequence);
        } else if step != 0 && self.result.lost > 0 {
            self.result.lost -= 1;
        }
        self.result.received += 1;
        if keep {
            self.heard.push((now, sequence, bytes[12..].to_vec()));
        }
    }
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(buffer) {
        Ok(got) => Ok(Some(got)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        // A port that closed answers by ICMP: not our failure.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
        Err(error) => Err(error),
    }
}

fn encode_all(voice: &Voice, codec: CodecKind) -> Vec<Vec<u8>> {
    let rate = codec.row().pcm_rate;
    let pcm = match rate {
        SampleRate::Hz8000 => &voice.narrow,
        SampleRate::Hz16000 => &voice.wide,
        SampleRate::Hz48000 => &voice.full,
    };
    let mut encoder = new_encoder(codec, rate, EncoderSettings::default());
    let mut buffer = [0; 1_500];
    pcm.chunks_exact(rate.frame_samples())
        .map(|frame| {
            let length = encoder.encode(frame, &mut buffer);
            buffer[..length].to_vec()
        })
        .collect()
}

/// Packets are looked for so often: what came is dated no later than this.
const TICK: Duration = Duration::from_millis(1);
/// Ticks in a period of 20 ms.
const GROUPS: u64 = 20;
