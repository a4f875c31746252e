//! As much SIP as a load generator needs, as text: one INVITE dialog at a time, every repeat by the caller's own timer.

use std::net::SocketAddr;

/// What a phone of the fleet keeps of its dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    /// `Call-ID`.
    pub call_id: String,
    /// Our own SIP address.
    pub local: SocketAddr,
    /// The gateway's.
    pub remote: SocketAddr,
    /// Room asked for.
    pub room: String,
    /// To header of the 200, with its tag.
    pub to: Option<String>,
    /// Contact of the 200.
    pub target: Option<String>,
}

impl Dialog {
    /// The INVITE with `sdp`; the room is named by a header, which a trusted trunk may do.
    pub fn invite(&self, sdp: &str) -> String {
        let head = self.head("INVITE", 1, "inv");
        format!(
            "{head}Contact: <sip:bench@{}>\r\nJitsi-Conference-Room: {}\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            self.local,
            self.room,
            sdp.len()
        )
    }

    /// The ACK of the 200.
    pub fn ack(&self) -> String {
        format!("{}Content-Length: 0\r\n\r\n", self.head("ACK", 1, "ack"))
    }

    /// The BYE.
    pub fn bye(&self) -> String {
        format!("{}Content-Length: 0\r\n\r\n", self.head("BYE", 2, "bye"))
    }

    fn head(&self, method: &str, cseq: u32, branch: &str) -> String {
        let plain = format!("sip:bench@{}", self.remote);
        let target = self.target.as_ref().filter(|_| method != "INVITE").unwrap_or(&plain);
        let to = match &self.to {
            Some(to) if method != "INVITE" => to.clone(),
            _ => format!("<sip:bench@{}>", self.remote),
        };
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {};rport;branch=z9hG4bK{branch}{}\r\nMax-Forwards: 70\r\n\
             From: <sip:phone@{}>;tag=t{}\r\nTo: {to}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\n",
            self.local, self.call_id, self.local, self.call_id, self.call_id
        )
    }
}

/// An OPTIONS outside any dialog.
pub fn options(local: SocketAddr, remote: SocketAddr) -> String {
    format!(
        "OPTIONS sip:{remote} SIP/2.0\r\nVia: SIP/2.0/UDP {local};rport;branch=z9hG4bKready{}\r\nMax-Forwards: 70\r\n\
         From: <sip:ready@{local}>;tag=r\r\nTo: <sip:{remote}>\r\nCall-ID: ready{}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: 0\r\n\r\n",
        local.port(),
        local.port()
    )
}

/// The SDP offer of a phone with one codec.
pub fn offer(rtp: SocketAddr, payload_type: u8, rtpmap: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 {0}\r\ns=-\r\nc=IN IP4 {0}\r\nt=0 0\r\nm=audio {1} RTP/AVP {payload_type} 101\r\n\
         a=rtpmap:{payload_type} {rtpmap}\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\na=sendrecv\r\n",
        rtp.ip(),
        rtp.port()
    )
}

/// A message as the fleet reads it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    text: &'a str,
}

impl<'a> Message<'a> {
    /// Text of a datagram.
    pub fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Status of a response.
    pub fn status(&self) -> Option<u16> {
        self.text.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// First value of a header, by its full name.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.text.lines().take_while(|line| !line.is_empty()).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Port of the first `m=audio` line.
    pub fn audio_port(&self) -> Option<u16> {
        let line = self.text.lines().find_map(|line| line.strip_prefix("m=audio "))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// A 200 to a request, headers echoed.
    pub fn ok(&self) -> String {
        let mut answer = String::from("SIP/2.0 200 OK\r\n");
        for line in self.text.lines().skip(1).take_while(|line| !line.is_empty()) {
            let name = line.split(':').next().unwrap_or("").trim().to_ascii_lowercase();
            if ["via", "from", "to", "call-id", "cseq"].contains(&name.as_str()) {
                answer.push_str(line);
                answer.push_str("\r\n");
            }
        }
        answer.push_str("Content-Length: 0\r\n\r\n");
        answer
    }
}
