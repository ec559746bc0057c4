//! A kept-alive connection to a replica's published port, for clients that ask often.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::http::Answer;

/// Whoever is silent for so long will not answer any more.
const SILENCE: Duration = Duration::from_secs(20);

/// How long a replica may let a request wait for what it depends on, in seconds.
const WAIT: u64 = 15;

/// One connection. Its methods panic where it breaks: a replica that lives keeps it.
#[derive(Debug)]
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// To an address of this machine.
    pub(crate) fn to(address: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the port is published");
        stream.set_nodelay(true).expect("a TCP option");
        stream
            .set_read_timeout(Some(SILENCE))
            .expect("a TCP option");
        Self(BufReader::new(stream))
    }

    /// One request, which may be kept waiting for what it depends on, and its answer.
    pub(crate) fn ask(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let prefer = format!("Prefer: wait={WAIT}\r\n");
        self.exchange(method, path, &prefer, body)
    }

    /// One request, and what there is to answer at once.
    pub(crate) fn ask_at_once(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        self.exchange(method, path, "", body)
    }

    fn exchange(&mut self, method: &str, path: &str, header: &str, body: &Value) -> Answer {
        let request = request(method, path, header, &body.to_string());
        let stream = self.0.get_mut();
        stream
            .write_all(request.as_bytes())
            .expect("the request is taken");
        let status = self.line();
        assert!(
            !status.is_empty(),
            "the connection ended at {method} {path}"
        );
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut length = 0;
        while let Some((name, value)) = self.line().split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the whole body");
        Answer {
            status: status.expect("a status line"),
            body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        }
    }

    /// The next line of the head, without its end.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a line of an answer");
        line.trim_end().to_owned()
    }
}

fn request(method: &str, path: &str, header: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: replica\r\nContent-Type: application/json\r\n\
         {header}Content-Length: {length}\r\n\r\n{body}"
    )
}
