//! One request on one connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    /// Each with its name in lower case.
    pub(super) headers: Vec<String>,
    pub(super) body: Vec<u8>,
}

/// Gets a path of a server.
pub(super) fn get(host: &str, path: &str, headers: &[(&str, &str)]) -> Result<Reply, String> {
    let failed = |error: std::io::Error| format!("{host}{path}: {error}");
    let mut stream = TcpStream::connect(host).map_err(failed)?;
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .map_err(failed)?;
    let mut request = format!("GET {path} HTTP/1.0\r\nHost: {host}\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    stream
        .write_all(format!("{request}\r\n").as_bytes())
        .map_err(failed)?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).map_err(failed)?;
    let end = all.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| format!("{host}{path}: no reply"))?;
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let lower = |line: &str| match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_lowercase()),
        None => line.to_owned(),
    };
    Ok(Reply {
        status: status.ok_or_else(|| format!("{host}{path}: {head}"))?,
        headers: lines.map(lower).collect(),
        body: all[end + 4..].to_vec(),
    })
}
