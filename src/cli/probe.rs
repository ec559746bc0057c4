//! One request to a replica: enough HTTP to ask whether it lives and what it sees, and to change its view.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// More of an answer than this is not read: views and health are far smaller.
const ANSWER_MAX: u64 = 64 << 10;

/// What a replica answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The HTTP status.
    pub(super) status: u16,
    /// What follows the head, as it came.
    pub(super) body: String,
}

/// Asks for `path`. Sets no time limit: the caller does.
pub(super) async fn get(to: SocketAddr, path: &str) -> io::Result<Answer> {
    ask(&to.to_string(), ("GET", path), "").await
}

/// Sends a request with this body to `HOST:PORT`. Sets no time limit either.
pub(super) async fn ask(to: &str, what: (&str, &str), body: &str) -> io::Result<Answer> {
    let (method, path) = what;
    let mut stream = TcpStream::connect(to).await?;
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX).read_to_end(&mut answer).await?;
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.parse().ok()?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_read() {
        let answer =
            parse("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!(
            answer,
            Answer {
                status: 503,
                body: "{}".to_owned()
            }
        );
    }

    #[test]
    fn what_is_not_http_is_refused() {
        for text in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1\r\n\r\n",
            "HTTP/1.1 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
