//! Answers of HTTP/1.1 as far as BOSH and the conference request need them: status, length or chunks, caps on all.

use tokio::io::AsyncReadExt;

use super::failure::Failure;
use super::framing::STANZA_BYTES_MAX;
use super::link::Wire;

/// Status line and headers of an answer.
const HEAD_BYTES_MAX: usize = 16_384;

/// An HTTP answer as it comes.
pub(super) struct Answer {
    wire: Wire,
    bytes: Vec<u8>,
}

impl Answer {
    /// What will come on this connection.
    pub fn new(wire: Wire) -> Self {
        Self { wire, bytes: Vec::new() }
    }

    /// The connection, for the next request.
    pub fn into_wire(self) -> Wire {
        self.wire
    }

    /// Its content, and whether the connection may be used again.
    pub async fn read(&mut self) -> Result<(Vec<u8>, bool), Failure> {
        const WRONG: Failure = Failure::NotXmpp("broken HTTP");
        let head = self.until(b"\r\n\r\n", HEAD_BYTES_MAX).await?;
        let head = String::from_utf8(head).map_err(|_| WRONG)?;
        let mut lines = head.split("\r\n");
        let mut status = lines.next().unwrap_or_default().split(' ');
        if !status.next().is_some_and(|version| version.starts_with("HTTP/1.")) {
            return Err(WRONG);
        }
        let status: u16 = status.next().and_then(|it| it.parse().ok()).ok_or(WRONG)?;
        let field = |name: &str| {
            head.split("\r\n").skip(1).find_map(|line| {
                let (field, value) = line.split_once(':')?;
                field.eq_ignore_ascii_case(name).then(|| value.trim().to_ascii_lowercase())
            })
        };
        if status != 200 {
            return Err(Failure::HttpStatus(status));
        }
        let keep = field("connection").is_none_or(|value| value != "close");
        if field("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            return Ok((self.chunks().await?, keep));
        }
        let length = field("content-length").and_then(|value| value.parse::<usize>().ok());
        let length = length.ok_or(WRONG)?;
        Ok((self.exactly(length).await?, keep))
    }

    async fn chunks(&mut self) -> Result<Vec<u8>, Failure> {
        const WRONG: Failure = Failure::NotXmpp("broken HTTP chunks");
        let mut content = Vec::new();
        loop {
            let line = self.until(b"\r\n", 256).await?;
            let line = String::from_utf8(line).map_err(|_| WRONG)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| WRONG)?;
            if size == 0 {
                while !self.until(b"\r\n", HEAD_BYTES_MAX).await?.is_empty() {}
                return Ok(content);
            }
            if size > STANZA_BYTES_MAX || content.len() + size > STANZA_BYTES_MAX {
                return Err(Failure::Oversized);
            }
            content.extend(self.exactly(size).await?);
            self.exactly(2).await?;
        }
    }

    /// Bytes up to `end`, which is taken away.
    async fn until(&mut self, end: &[u8], cap: usize) -> Result<Vec<u8>, Failure> {
        loop {
            let found = self.bytes.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                let rest = self.bytes.split_off(at + end.len());
                let mut line = std::mem::replace(&mut self.bytes, rest);
                line.truncate(at);
                return Ok(line);
            }
            if self.bytes.len() > cap {
                return Err(Failure::NotXmpp("an HTTP head without end"));
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Failure> {
        if length > STANZA_BYTES_MAX {
            return Err(Failure::Oversized);
        }
        while self.bytes.len() < length {
            self.more().await?;
        }
        let rest = self.bytes.split_off(length);
        Ok(std::mem::replace(&mut self.bytes, rest))
    }

    async fn more(&mut self) -> Result<(), Failure> {
        match self.wire.read_buf(&mut self.bytes).await {
            Ok(0) => Err(Failure::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::of_io(&error)),
        }
    }
}
