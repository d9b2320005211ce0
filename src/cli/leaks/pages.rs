//! The pages that a running instance serves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::search::{Kind, Search};

const PAGES: [&str; 4] = ["/", "/metrics", "/healthz", "/readyz"];
const PATIENCE: Duration = Duration::from_secs(10);

/// Host and port, however they are written.
pub fn address(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("http://").unwrap_or(text);
    let address = rest.split('/').next().unwrap_or_default();
    match address.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => Ok(address.to_owned()),
        _ => Err("expected HOST:PORT, or http://HOST:PORT; an instance serves nothing else".into()),
    }
}

pub fn search(search: &mut Search<'_>, address: &str) -> Result<(), String> {
    for page in PAGES {
        let name = format!("http://{address}{page}");
        let body = get(address, page).map_err(|e| format!("cannot get {name}: {e}"))?;
        search.read(Kind::Page, &name, body).map_err(|e| format!("cannot get {name}: {e}"))?;
    }
    Ok(())
}

/// The answer with its head, whatever its status: `/readyz` says 503 while an instance restores.
fn get(address: &str, page: &str) -> std::io::Result<impl Read> {
    let unknown = || std::io::Error::new(std::io::ErrorKind::NotFound, "no such host");
    let socket = address.to_socket_addrs()?.next().ok_or_else(unknown)?;
    let mut stream = TcpStream::connect_timeout(&socket, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // By version 1.0 an answer comes in one piece and ends with its connection.
    write!(stream, "GET {page} HTTP/1.0\r\nhost: {address}\r\n\r\n")?;
    let mut answer = BufReader::new(stream);
    let begins = answer.fill_buf()?.starts_with(b"HTTP/");
    begins.then_some(answer).ok_or_else(|| std::io::Error::other("no answer of HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, want) in [
            ("127.0.0.1:9464", Some("127.0.0.1:9464")),
            ("http://localhost:80/metrics", Some("localhost:80")),
            ("http://[::1]:80", Some("[::1]:80")),
            ("localhost", None),
            ("https://localhost:1", None),
            (":80", None),
            ("", None),
        ] {
            assert_eq!(address(text).ok().as_deref(), want, "{text}");
        }
    }
}
