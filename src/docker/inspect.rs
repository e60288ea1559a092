//! What Docker says about an object, and is told about one, word for word.
//!
//! The typed client drops what its API version does not know, and refuses what differs
//! (a volume driver's `Status`). A recorded definition must lose nothing, so it is asked
//! for by a plain HTTP/1.0 request, whose answer ends where the connection does.

use super::Docker;
use crate::error::{Code, Error, Result};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What kind of thing is asked about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    /// `GET /containers/ID/json`
    Container,
    /// `GET /images/ID/json`
    Image,
    /// `GET /volumes/NAME`
    Volume,
    /// `GET /networks/NAME`
    Network,
}

impl Kind {
    fn path(self, name: &str) -> String {
        let name = utf8_percent_encode(name, NON_ALPHANUMERIC);
        match self {
            Self::Container => format!("/containers/{name}/json"),
            Self::Image => format!("/images/{name}/json"),
            Self::Volume => format!("/volumes/{name}"),
            Self::Network => format!("/networks/{name}"),
        }
    }

    /// What helps where there is none of this name.
    fn hint(self) -> &'static str {
        match self {
            Self::Container => "`docker ps -a` shows the containers",
            Self::Image => "`docker image ls` shows the images",
            Self::Network => "`docker network ls` shows the networks",
            Self::Volume => {
                "`docker volume ls` shows the volumes; compose puts its project's name before \
                 theirs, as in shop_uploads"
            }
        }
    }

    fn attempted(self) -> &'static str {
        match self {
            Self::Container => "inspect container",
            Self::Image => "inspect image",
            Self::Volume => "inspect volume",
            Self::Network => "inspect network",
        }
    }
}

impl Docker {
    /// The `inspect` of one object, as Docker gives it.
    pub(super) async fn inspect(&self, kind: Kind, name: &str) -> Result<Value> {
        let version = self.client.client_version();
        let request =
            format!("GET /v{version}{} HTTP/1.0\r\nHost: docker\r\n\r\n", kind.path(name));
        let answer = tokio::time::timeout(PATIENCE, self.ask(&request))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|e| Error::new(Code::DockerUnreachable, kind.attempted(), name).source(e))?;
        let refused = |cause: &str| {
            Error::new(Code::DockerFailed, kind.attempted(), name).cause(cause.trim())
        };
        let (status, body) = parse(&answer).ok_or_else(|| refused("no HTTP answer"))?;
        let json: Value =
            serde_json::from_slice(body).map_err(|_| refused(&String::from_utf8_lossy(body)))?;
        let message = json.get("message").and_then(Value::as_str).unwrap_or_default();
        match status {
            200 => Ok(json),
            404 => {
                let missing = Error::new(Code::ContainerNotFound, kind.attempted(), name);
                Err(missing.cause(message).hint(kind.hint()))
            }
            _ => Err(refused(message)),
        }
    }

    /// Posts a value as it is.
    ///
    /// # Errors
    /// [`Code::ContainerNotFound`] for status 404, [`Code::DockerFailed`] for any other that is no
    /// success; [`Code::DockerUnreachable`].
    pub(super) async fn post(
        &self,
        path: &str,
        body: &Value,
        attempted: &str,
        subject: &str,
    ) -> Result<()> {
        let (version, body) = (self.client.client_version(), body.to_string());
        let request = format!(
            "POST /v{version}{path} HTTP/1.0\r\nHost: docker\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = tokio::time::timeout(PATIENCE, self.ask(&request))
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(|e| Error::new(Code::DockerUnreachable, attempted, subject).source(e))?;
        let (status, body) = parse(&answer).ok_or_else(|| {
            Error::new(Code::DockerFailed, attempted, subject).cause("no HTTP answer")
        })?;
        if (200..300).contains(&status) {
            return Ok(());
        }
        let code = if status == 404 { Code::ContainerNotFound } else { Code::DockerFailed };
        let json: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = json["message"].as_str().map(str::to_owned);
        let said = said.unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
        Err(Error::new(code, attempted, subject).cause(said.trim()))
    }

    async fn ask(&self, request: &str) -> io::Result<Vec<u8>> {
        match self.host.split_once("://") {
            Some(("unix", path)) => exchange(UnixStream::connect(path).await?, request).await,
            Some((_, host)) => {
                let host = host.trim_end_matches('/');
                exchange(TcpStream::connect(host).await?, request).await
            }
            None => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &str,
) -> io::Result<Vec<u8>> {
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// The status code and the body of an HTTP answer.
fn parse(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, answer.get(end + 4..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        let answer = b"HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n{\"message\":\"no\"}";
        assert_eq!(parse(answer), Some((404, &b"{\"message\":\"no\"}"[..])));
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\n"), None);
    }

    #[test]
    fn names_cannot_lead_to_another_address() {
        assert_eq!(Kind::Volume.path("a/../b?x"), "/volumes/a%2F%2E%2E%2Fb%3Fx");
    }
}
