//! `weebee calls`: the live calls of a running gateway, by its HTTP.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{failed, load, print};

/// Arguments of `weebee calls`.
#[derive(Debug, Args)]
pub struct CallsArguments {
    /// The configuration file of the gateway: tells where its HTTP is.
    #[arg(long, short)]
    config: Option<PathBuf>,
    /// Where its HTTP is, without a configuration.
    #[arg(long, default_value = "127.0.0.1:8788", conflicts_with = "config")]
    at: SocketAddr,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists the calls.
pub fn run(arguments: &CallsArguments) -> ExitCode {
    let (address, token) = match &arguments.config {
        None => (arguments.at, None),
        Some(file) => match load(file) {
            Ok(config) => {
                let token =
                    config.http.token_file.and_then(|file| std::fs::read_to_string(file).ok());
                let Some(address) = config.http.listen else {
                    return failed("[http] listen is empty: this gateway has no HTTP");
                };
                (address, token)
            }
            Err(code) => return code,
        },
    };
    match ask(address, "/calls", token.as_deref().map(str::trim)) {
        Ok(body) if arguments.json => print(&format!("{body}\n")),
        Ok(body) => print(&table(&body)),
        Err(error) => failed(error),
    }
}

/// GETs a JSON page.
fn ask(address: SocketAddr, path: &str, token: Option<&str>) -> Result<Value, String> {
    let gone = |error: std::io::Error| {
        format!(
            "no gateway answers at http://{address}: {error}; is it running? --config says where"
        )
    };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(gone)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
    let token = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
    let request =
        format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n{token}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(gone)?;
    let mut answer = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut answer).map_err(gone)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("that is no HTTP answer")?;
    let body: Value =
        serde_json::from_str(body).map_err(|_| "that is no answer of a gateway".to_owned())?;
    match head.split(' ').nth(1) {
        Some("200") => Ok(body),
        _ => Err(body["error"].as_str().unwrap_or("the gateway refused").to_owned()),
    }
}

fn table(body: &Value) -> String {
    let calls = body["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    if calls.is_empty() {
        return "no calls\n".to_owned();
    }
    let mut out = format!(
        "{:<8} {:<8} {:<12} {:<14} {:<20} {:<6} {:>7} {:>5} since\n",
        "id", "state", "trunk", "caller", "room", "codec", "seconds", "mos"
    );
    for call in calls {
        let text = |key: &str| match &call[key] {
            Value::String(text) => text.clone(),
            Value::Null => "-".to_owned(),
            other => other.to_string(),
        };
        let _ = writeln!(
            out,
            "{:<8} {:<8} {:<12} {:<14} {:<20} {:<6} {:>7} {:>5} {}",
            text("id"),
            text("state"),
            text("trunk"),
            text("caller"),
            text("room"),
            text("codec"),
            text("seconds_answered"),
            text("mos"),
            text("since"),
        );
    }
    out
}

const PATIENCE: Duration = Duration::from_secs(5);
/// 20,000 calls of 400 bytes.
const ANSWER_MAX: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn calls_are_a_table() {
        assert_eq!(table(&json!({ "calls": [] })), "no calls\n");
        let call =
            json!({ "id": "c1-1", "state": "Joined", "room": "tea", "mos": 4.2, "codec": null });
        let shown = table(&json!({ "calls": [call] }));
        assert_eq!(shown.lines().count(), 2);
        for part in ["c1-1", "Joined", "tea", "4.2"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }
}
