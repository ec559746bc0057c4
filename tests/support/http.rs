//! A small HTTP/1.1 client that lets a test decide every byte: bodies with GET and DELETE,
//! pipelining, chunks, half a request.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;
use serde_json::value::RawValue;

use super::metadata::V;

/// Longest wait for an answer. Longer than any wait that a test asks a replica for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A request, to be sent once or many times.
#[derive(Clone)]
pub(crate) struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    /// A request without body. `target` goes out as it is.
    pub(crate) fn new(method: &str, target: &str) -> Self {
        Self {
            head: format!("{method} {target} HTTP/1.1\r\nHost: replica\r\n"),
            body: Vec::new(),
        }
    }

    /// Adds a header line.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.head.extend([name, ": ", value, "\r\n"]);
        self
    }

    /// Gives it this body, with its length in the head.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.header("Content-Length", &length)
    }

    /// Gives it a body in chunks.
    pub(crate) fn chunks(mut self, chunks: &[&[u8]]) -> Self {
        for chunk in chunks {
            self.body
                .extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            self.body.extend_from_slice(chunk);
            self.body.extend_from_slice(b"\r\n");
        }
        self.body.extend_from_slice(b"0\r\n\r\n");
        self.header("Transfer-Encoding", "chunked")
    }

    /// The bytes of it.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head.clone().into_bytes();
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shortened(&self.bytes()))
    }
}

/// The beginning of what may be long.
fn shortened(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().take(600).collect()
}

/// One connection to a replica.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Opens it.
    pub(crate) fn open(to: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&to, CONNECT_TIMEOUT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends a request and reads its answer. A server may answer and close before it has read
    /// everything, so what counts is the answer.
    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<Answer> {
        let sent = self.send(&request.bytes());
        self.answer().map_err(|error| sent.err().unwrap_or(error))
    }

    /// Reads the next answer.
    pub(crate) fn answer(&mut self) -> io::Result<Answer> {
        loop {
            let answer = self.one_answer()?;
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
    }

    /// Whether something has come from the other side, be it its end. Does not wait.
    pub(crate) fn has_input(&mut self) -> bool {
        if !self.0.buffer().is_empty() {
            return true;
        }
        let stream = self.0.get_ref();
        let blocking = |yes: bool| stream.set_nonblocking(!yes).expect("an open socket");
        blocking(false);
        let nothing =
            matches!(stream.peek(&mut [0]), Err(e) if e.kind() == io::ErrorKind::WouldBlock);
        blocking(true);
        !nothing
    }

    /// Whether the other side ends the connection without any further answer. Waits for it.
    pub(crate) fn ends(&mut self) -> bool {
        match self.0.fill_buf() {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    fn one_answer(&mut self) -> io::Result<Answer> {
        let status = self
            .line()?
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .ok_or_else(|| io::Error::other("no status line"))?;
        let mut answer = Answer {
            status,
            headers: self.headers()?,
            body: Vec::new(),
        };
        if status >= 200 {
            answer.body = self.read_body(&answer)?;
        }
        Ok(answer)
    }

    fn headers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(headers);
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| io::Error::other(format!("not a header: {line}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn read_body(&mut self, answer: &Answer) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = answer.header("content-length") {
            body.resize(length.parse().map_err(io::Error::other)?, 0);
            self.0.read_exact(&mut body)?;
        } else if answer.header("transfer-encoding") == Some("chunked") {
            while self.chunk(&mut body)? {}
        } else {
            self.0.read_to_end(&mut body)?;
        }
        Ok(body)
    }

    fn chunk(&mut self, body: &mut Vec<u8>) -> io::Result<bool> {
        let length = usize::from_str_radix(&self.line()?, 16).map_err(io::Error::other)?;
        let start = body.len();
        body.resize(start + length, 0);
        self.0.read_exact(&mut body[start..])?;
        self.line()?;
        Ok(length > 0)
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        line.truncate(line.trim_end_matches(['\r', '\n']).len());
        Ok(line)
    }
}

/// What a replica answered.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    /// The body, unchunked.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.iter();
        lines.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The body as text.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("an answer in UTF-8")
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(json) => json,
            Err(error) => panic!("not JSON ({error}): {self:?}"),
        }
    }

    /// The text of a member of the body, exactly as it was sent; `None` without such a member.
    #[track_caller]
    pub(crate) fn member(&self, name: &str) -> Option<String> {
        type Members = std::collections::BTreeMap<String, Box<RawValue>>;
        let members: Members = match serde_json::from_slice(&self.body) {
            Ok(members) => members,
            Err(error) => panic!("not a JSON object ({error}): {self:?}"),
        };
        members.get(name).map(|raw| raw.get().to_owned())
    }

    /// The metadata that came with it.
    #[track_caller]
    pub(crate) fn v(&self) -> V {
        match self.member("causal-metadata") {
            Some(text) => V::raw(text),
            None => panic!("no causal-metadata in {self:?}"),
        }
    }

    /// Itself, if it has this status.
    pub(crate) fn having(self, status: u16) -> Result<Self, Self> {
        if self.status == status {
            Ok(self)
        } else {
            Err(self)
        }
    }

    /// Itself; panics if the status is another one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        match self.having(status) {
            Ok(answer) => answer,
            Err(other) => panic!("expected {status}, got {other:?}"),
        }
    }

    /// Itself; panics unless it is a result of the contract: status and `result` member.
    #[track_caller]
    pub(crate) fn expect_result(self, status: u16, result: &str) -> Self {
        self.expect_named(status, "result", result)
    }

    /// Itself; panics unless it is an error of the contract: status, JSON, exact text.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, error: &str) -> Self {
        self.expect_named(status, "error", error)
    }

    #[track_caller]
    fn expect_named(self, status: u16, member: &str, text: &str) -> Self {
        let answer = self.expect(status);
        let kind = answer.header("content-type").unwrap_or_default();
        assert!(kind.starts_with("application/json"), "{answer:?}");
        let got = answer.member(member);
        assert_eq!(got, Some(format!("{text:?}")), "{answer:?}");
        answer
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = shortened(&self.body);
        write!(f, "{} {:?} {shown}", self.status, self.headers)
    }
}
