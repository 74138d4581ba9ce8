//! URLs of the service, and the readiness probe.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};

use crate::sys::process::check_interrupted;

/// The time for the answer to one probe.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Answers that precede the final one have headers too.
const STATUS_LINE_BYTES: usize = 65_536;

const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub struct Url<'a> {
    /// `http`, `https` or `tcp`.
    pub scheme: &'a str,
    /// The text between `://` and the path.
    authority: &'a str,
    /// The authority without user name and password, which are for Locust.
    named: &'a str,
    /// The host, without the brackets of an IPv6 address.
    host: &'a str,
    pub port: u16,
    path: &'a str,
}

pub fn parse_url(url: &str) -> Result<Url<'_>> {
    let example = || anyhow!("expected a URL such as http://127.0.0.1:8080");
    let (scheme, rest) = url.split_once("://").ok_or_else(example)?;
    let default_port = match scheme {
        "http" => 80,
        "https" => 443,
        // It has no default port, and 0 is refused below.
        "tcp" => 0,
        _ => return Err(example()),
    };
    // Another line would be another header.
    ensure!(!rest.contains(|c: char| c.is_whitespace() || c.is_control()), example());
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let named = authority.rsplit_once('@').map_or(authority, |(_, named)| named);
    // The colons of an IPv6 address are in brackets.
    let (host, port) = match named.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| example())?),
        _ => (named, default_port),
    };
    ensure!(!host.is_empty() && port > 0, example());
    let path = path.split('#').next().unwrap_or_default();
    Ok(Url { scheme, authority, named, host: host.trim_matches(['[', ']']), port, path })
}

impl Url<'_> {
    fn connect(&self, deadline: Instant) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its host has no address");
        for address in addresses(self.host, self.port, deadline)? {
            match TcpStream::connect_timeout(&address, remaining(deadline)?) {
                // Where nobody listens, our own end may get the very port that it asks for, and is connected with itself.
                Ok(stream) if stream.local_addr()? == stream.peer_addr()? => {
                    last = io::ErrorKind::ConnectionRefused.into();
                }
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    pub fn connects(&self) -> Result<(), String> {
        self.connect(Instant::now() + ANSWER_TIMEOUT).map(drop).map_err(|error| error.to_string())
    }

    /// It is the address on the interface on which the host is reached. Locust's master listens on IPv4.
    pub fn local_address(&self) -> Option<Ipv4Addr> {
        let mut addresses = (self.host, self.port).to_socket_addrs().ok()?;
        addresses.find_map(|address| match address {
            SocketAddr::V4(address) => local_address(address),
            SocketAddr::V6(_) => None,
        })
    }

    /// A service that is probed by `tcp` is loaded by `http`.
    pub fn origin(&self) -> String {
        let scheme = if self.scheme == "tcp" { "http" } else { self.scheme };
        format!("{scheme}://{}", self.authority)
    }

    /// The status of one GET. It follows no redirect, so that only the URL itself is contacted.
    pub fn get(&self) -> Result<u16, String> {
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        let has_status = |answer: &[u8]| without_interim(answer).contains(&b'\n') || answer.len() >= STATUS_LINE_BYTES;
        self.ask(deadline, has_status).and_then(|answer| status(&answer)).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("timeout: no answer within {} s", ANSWER_TIMEOUT.as_secs())
            }
            _ => error.to_string(),
        })
    }

    /// Sends a GET, and reads the answer to its end, or until it `is_enough`.
    pub(super) fn ask(&self, deadline: Instant, is_enough: impl Fn(&[u8]) -> bool) -> io::Result<Vec<u8>> {
        let mut stream = self.connect(deadline)?;
        let slash = if self.path.starts_with('/') { "" } else { "/" };
        let text = format!(
            "GET {slash}{} HTTP/1.1\r\nHost: {}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
            percent_encoded(self.path),
            self.named
        );
        stream.set_write_timeout(Some(remaining(deadline)?))?;
        stream.write_all(text.as_bytes())?;
        let mut answer = Vec::new();
        let mut part = [0; 16_384];
        while !is_enough(&answer) {
            stream.set_read_timeout(Some(remaining(deadline)?))?;
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(length) => answer.extend_from_slice(&part[..length]),
                // A child that ended interrupts the call.
                Err(error) if error.kind() == io::ErrorKind::Interrupted && check_interrupted().is_ok() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(answer)
    }
}

/// The addresses of a host. A name server that is silent holds up neither the deadline nor a signal.
pub fn addresses(host: &str, port: u16, deadline: Instant) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![(address, port).into()]);
    }
    let (sender, receiver) = mpsc::channel();
    let name = host.to_owned();
    thread::spawn(move || sender.send((&*name, port).to_socket_addrs().map(Vec::from_iter)));
    loop {
        match receiver.recv_timeout(remaining(deadline)?.min(LOOK_AGAIN)) {
            Ok(addresses) => return addresses,
            Err(_) if check_interrupted().is_err() => return Err(io::ErrorKind::Interrupted.into()),
            Err(_) => {}
        }
    }
}

fn status(answer: &[u8]) -> io::Result<u16> {
    let fault = if answer.is_empty() {
        "it closes the connection without an answer"
    } else {
        "it answers something other than HTTP"
    };
    status_in(without_interim(answer)).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, fault))
}

fn status_in(answer: &[u8]) -> Option<u16> {
    let line = String::from_utf8_lossy(answer.split(|byte| *byte == b'\n').next().unwrap_or_default());
    line.strip_prefix("HTTP/").and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok())
}

/// An answer without those that precede it, such as `103 Early Hints`; empty until it begins.
pub(super) fn without_interim(mut answer: &[u8]) -> &[u8] {
    const END: &[u8] = b"\r\n\r\n";
    while status_in(answer).is_some_and(|status| (100..200).contains(&status)) {
        let end = answer.windows(END.len()).position(|window| window == END);
        answer = end.map_or(&[], |end| &answer[end + END.len()..]);
    }
    answer
}

fn remaining(deadline: Instant) -> io::Result<Duration> {
    let remaining = deadline.saturating_duration_since(Instant::now());
    if remaining.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(remaining) }
}

/// Writes the bytes that a URL cannot hold as `%C3`.
fn percent_encoded(path: &str) -> String {
    let mut encoded = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii() {
            encoded.push(char::from(byte));
        } else {
            encoded.extend(format!("%{byte:02X}").chars());
        }
    }
    encoded
}

/// It is the address on the interface that leads to another one. Nothing is sent.
pub fn local_address(other: SocketAddrV4) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(other).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

pub fn is_loopback(url: &str) -> bool {
    let is_loopback = |address: IpAddr| address.is_loopback();
    parse_url(url).is_ok_and(|url| url.host == "localhost" || url.host.parse().is_ok_and(is_loopback))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// The system goes through the ports for our own end, and comes to the one that is asked for.
    #[test]
    fn port_that_nobody_listens_on_is_never_connected() {
        // Linux gives even ports to what connects, and odd ones to what listens.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port() & !1;
        let url = format!("tcp://127.0.0.1:{port}");
        let url = parse_url(&url).unwrap();
        for _ in 0..40_000 {
            assert!(url.connects().is_err());
        }
    }

    #[test]
    fn urls_are_split_into_their_parts() {
        for (url, host, port, path) in [
            ("http://127.0.0.1:8080/health?a=b#c", "127.0.0.1", 8080, "/health?a=b"),
            ("http://[::1]:8080/", "::1", 8080, "/"),
            ("http://[::1]", "::1", 80, ""),
            ("tcp://127.0.0.1:5", "127.0.0.1", 5, ""),
            ("https://me:p@ss@host?x", "host", 443, "?x"),
        ] {
            let parsed = parse_url(url).unwrap();
            assert_eq!((parsed.host, parsed.port, parsed.path), (host, port, path), "{url}");
        }
        for url in [
            "",
            "http://",
            "host",
            "ftp://a",
            "tcp://a",
            "http://a:0",
            "http://a:99999",
            "http://a/\r\nX: y",
            "http://a b",
        ] {
            assert!(parse_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn the_status_of_an_answer_is_read() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Ok(200)),
            ("HTTP/1.0 503\n", Ok(503)),
            ("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n", Ok(200)),
            ("", Err("it closes the connection without an answer".to_owned())),
            ("HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n", Ok(302)),
            ("SSH-2.0-OpenSSH\r\n", Err("it answers something other than HTTP".to_owned())),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/a", listener.local_addr().unwrap());
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                request[..length].to_vec()
            });
            assert_eq!(parse_url(&url).unwrap().get(), expected, "{answer}");
            assert!(server.join().unwrap().starts_with(b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:"));
        }
        assert_eq!(percent_encoded("/a?ü"), "/a?%C3%BC");
    }
}
