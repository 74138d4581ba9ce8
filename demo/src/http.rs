//! Just enough HTTP/1.1 for a load generator on the same machine: keep-alive,
//! bodies with a `Content-Length`, and size limits.
//!
//! It is written by hand because control over connections matters here: every
//! response leaves in a single write, and no pool stands between a connection
//! and its thread.

use std::io::{self, BufRead, Read};

const MAX_HEAD_BYTES: u64 = 16 * 1024;
const MAX_BODY_BYTES: usize = 64 * 1024;

#[derive(Debug, PartialEq)]
pub struct Request {
    pub method: String,
    /// The path without its query.
    pub path: String,
    pub body: Vec<u8>,
    pub keep_alive: bool,
}

/// A JSON response.
#[derive(Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    pub body: String,
}

#[derive(Debug, PartialEq)]
pub enum ReadError {
    /// The client closed the connection, broke it, or stayed silent too long.
    Closed,
    /// The request cannot be understood: send this response, then close,
    /// because nobody can tell where the next request would start.
    Refused(Response),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => refuse(400, "the request head is not valid UTF-8"),
            _ => Self::Closed,
        }
    }
}

fn refuse(status: u16, message: &str) -> ReadError {
    ReadError::Refused(Response::error(status, message))
}

impl Response {
    pub fn error(status: u16, message: &str) -> Self {
        let body = serde_json::json!({ "error": message }).to_string();
        Self { status, body }
    }

    /// The whole response as one buffer, so that it leaves in one segment.
    pub fn to_bytes(&self, keep_alive: bool, head_only: bool) -> Vec<u8> {
        format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: {}\r\n\r\n{}",
            self.status,
            reason(self.status),
            self.body.len(),
            if keep_alive { "keep-alive" } else { "close" },
            if head_only { "" } else { &self.body },
        )
        .into_bytes()
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        _ => "",
    }
}

pub fn read_request(reader: &mut impl BufRead) -> Result<Request, ReadError> {
    let lines = read_head(reader)?;
    let (request_line, headers) = lines.split_first().ok_or_else(|| refuse(400, "the request line is missing"))?;
    let [method, target, version] = request_line.split(' ').collect::<Vec<_>>()[..] else {
        return Err(refuse(400, "the request line has not three parts"));
    };

    let mut keep_alive = match version {
        "HTTP/1.1" => true,
        "HTTP/1.0" => false,
        _ => return Err(refuse(400, "only HTTP/1.0 and HTTP/1.1 are understood")),
    };
    let mut body_bytes = 0;
    for header in headers {
        let (name, value) = header.split_once(':').ok_or_else(|| refuse(400, "a header line has no colon"))?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.parse().map_err(|_| refuse(400, "Content-Length is not a number"))?;
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(refuse(411, "send the body with a Content-Length"));
        } else if name.eq_ignore_ascii_case("connection") {
            if value.eq_ignore_ascii_case("close") {
                keep_alive = false;
            } else if value.eq_ignore_ascii_case("keep-alive") {
                keep_alive = true;
            }
        }
    }

    if body_bytes > MAX_BODY_BYTES {
        return Err(refuse(413, "the body is larger than 64 KiB"));
    }
    let mut body = vec![0; body_bytes];
    reader.read_exact(&mut body)?;
    let path = target.split('?').next().unwrap_or(target);
    Ok(Request { method: method.to_owned(), path: path.to_owned(), body, keep_alive })
}

/// Reads the lines up to the empty one that ends the head.
fn read_head(reader: &mut impl BufRead) -> Result<Vec<String>, ReadError> {
    let mut head = reader.take(MAX_HEAD_BYTES);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        head.read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(if head.limit() == 0 {
                refuse(431, "the request head is larger than 16 KiB")
            } else {
                ReadError::Closed
            });
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        if line.is_empty() {
            return Ok(lines);
        }
        lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(bytes: &[u8]) -> u16 {
        match read_request(&mut &bytes[..]) {
            Err(ReadError::Refused(response)) => response.status,
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn two_requests_on_one_connection() {
        let bytes = b"POST /claims?x=1 HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}\
                      GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        let mut reader = &bytes[..];
        let first = read_request(&mut reader).expect("first");
        assert_eq!(first.method, "POST");
        assert_eq!(first.path, "/claims");
        assert_eq!(first.body, b"{}");
        assert!(first.keep_alive);
        let second = read_request(&mut reader).expect("second");
        assert!(!second.keep_alive);
        assert_eq!(read_request(&mut reader), Err(ReadError::Closed));
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(status_of(b"hello\r\n\r\n"), 400);
        assert_eq!(status_of(b"\r\n"), 400);
        assert_eq!(status_of(b"GET / HTTP/3\r\n\r\n"), 400);
        assert_eq!(status_of(b"GET / HTTP/1.1\r\nnonsense\r\n\r\n"), 400);
        assert_eq!(status_of(b"GET /\xff HTTP/1.1\r\n\r\n"), 400);
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(status_of(chunked), 411);
    }

    #[test]
    fn sizes_are_limited() {
        let body = b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n";
        assert_eq!(status_of(body), 413);
        assert_eq!(status_of(&vec![b'a'; 20_000]), 431);
    }

    #[test]
    fn response_states_its_length() {
        let text = |head_only| {
            let bytes = Response::error(404, "é").to_bytes(true, head_only);
            String::from_utf8(bytes).expect("UTF-8")
        };
        assert!(text(false).starts_with("HTTP/1.1 404 Not Found\r\n"));
        assert!(text(false).contains("\r\nContent-Length: 14\r\n"));
        assert!(text(false).ends_with("\r\n\r\n{\"error\":\"é\"}"));
        assert!(text(true).ends_with("\r\n\r\n"));
    }
}
