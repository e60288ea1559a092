//! A client for the service: one request on each connection.

use crate::Failure;
use crate::audit::Audit;
use axum::http::Uri;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The service as seen from inside its own container.
pub(crate) const DEFAULT_URL: &str = "http://127.0.0.1:8080";

/// How long a request may take. An application that is frozen accepts connections and
/// never answers.
const DEADLINE: Duration = Duration::from_secs(60);

/// What the service said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Knows where the service is.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    host: String,
    port: u16,
}

impl Client {
    /// Reads `http://HOST[:PORT]`.
    pub(crate) fn new(url: &str) -> Result<Self, Failure> {
        let uri: Uri = url.parse()?;
        match (uri.scheme_str(), uri.host(), uri.path()) {
            (Some("http"), Some(host), "" | "/") => {
                Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80) })
            }
            _ => Err(format!("`{url}` is not http://HOST[:PORT]").into()),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send("GET", path, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        self.send("POST", path, body).await
    }

    /// The service's own audit.
    pub(crate) async fn audit(&self) -> Result<Audit, Failure> {
        let answer = self.get("/audit").await?;
        if answer.status != 200 {
            let said = String::from_utf8_lossy(&answer.body);
            return Err(format!("the audit answered {}: {said}", answer.status).into());
        }
        Ok(serde_json::from_slice(&answer.body)?)
    }

    async fn send(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        let exchange = async {
            let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
            // HTTP/1.0: the server closes after its answer and never sends it in chunks.
            let head = format!(
                "{method} {path} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n\r\n",
                self.host,
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(body).await?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await?;
            Ok::<_, Failure>(answer)
        };
        let bytes = timeout(DEADLINE, exchange).await.map_err(|_| "no answer in time")??;
        parse(&bytes).ok_or_else(|| "the answer is cut off".into())
    }
}

/// Takes an answer apart; none when it is not complete.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let body = bytes[end + 4..].to_vec();
    let length = lines.filter_map(|line| line.split_once(':')).find_map(|(key, value)| {
        key.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    match length {
        Some(Ok(length)) if length != body.len() => None,
        Some(Err(_)) => None,
        _ => Some(Answer { status, body }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_only_when_it_is_complete() {
        let whole = b"HTTP/1.0 201 Created\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(parse(whole), Some(Answer { status: 201, body: b"ok".to_vec() }));
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn only_plain_http_without_a_path_is_accepted() {
        assert!(Client::new("http://127.0.0.1:8080").is_ok());
        assert!(Client::new("http://app/").is_ok());
        for refused in ["https://app", "app:8080", "http://app/health", ""] {
            assert!(Client::new(refused).is_err(), "{refused}");
        }
    }
}
