//! One HTTP request, with or without TLS, without redirects.

use crate::error::{Code, Error, Result};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Method, Request as HttpRequest, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How much of an answer is read.
const MAX_BODY: usize = 1024 * 1024;

/// What is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    /// Certificates that are trusted besides those of the system.
    pub(super) ca_file: Option<PathBuf>,
}

/// What was answered.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// Whether a url is one that [`Request::send`] understands.
pub fn check_url(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("`{url}` is no url"))?;
    match (uri.scheme_str(), uri.host()) {
        (Some("http" | "https"), Some(_)) => Ok(()),
        _ => Err("the url has to begin with http:// or https:// and a host".into()),
    }
}

impl Request {
    /// Sends it and reads the answer.
    ///
    /// # Errors
    /// `http_failed` where there is none.
    pub(super) async fn send(&self) -> Result<Answer> {
        let failed = || Error::new(Code::HttpFailed, "ask", shown(&self.url));
        let uri: Uri = self.url.parse().map_err(|e| failed().cause(e))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let encrypted = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if encrypted { 443 } else { 80 });
        let stream =
            TcpStream::connect((host.as_str(), port)).await.map_err(|e| failed().source(e))?;
        if !encrypted {
            return self.exchange(stream, &uri).await;
        }
        let name = ServerName::try_from(host).map_err(|e| failed().source(e))?;
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        let stream = connector.connect(name, stream).await.map_err(|e| failed().source(e))?;
        self.exchange(stream, &uri).await
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        uri: &Uri,
    ) -> Result<Answer> {
        let failed = || Error::new(Code::HttpFailed, "ask", shown(&self.url));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed().source(e))?;
        // It ends when the sender is dropped.
        let driver = tokio::spawn(connection);
        let answer = async {
            let response =
                sender.send_request(self.build(uri)?).await.map_err(|e| failed().source(e))?;
            let status = response.status().as_u16();
            let body = Limited::new(response.into_body(), MAX_BODY).collect().await;
            let body = body.map_err(|e| failed().cause(e))?.to_bytes();
            Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
        };
        let answer = answer.await;
        driver.abort();
        answer
    }

    fn build(&self, uri: &Uri) -> Result<HttpRequest<Full<Bytes>>> {
        let failed = || Error::new(Code::HttpFailed, "ask", shown(&self.url));
        let method: Method = self.method.parse().map_err(|_| failed().cause("no such method"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        let body = Full::new(Bytes::from(self.body.clone().unwrap_or_default()));
        let mut request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .body(body)
            .map_err(|e| failed().source(e))?;
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(host).map_err(|e| failed().source(e))?);
        for (name, value) in &self.headers {
            let name: HeaderName =
                name.parse().map_err(|_| failed().cause("a header has no name"))?;
            // The value may be a secret.
            let mut value = HeaderValue::from_str(value)
                .map_err(|_| failed().cause(format!("the value of the header {name} is none")))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(request)
    }

    fn tls(&self) -> Result<rustls::ClientConfig> {
        let failed = || Error::new(Code::HttpFailed, "prepare TLS for", shown(&self.url));
        let mut roots = rustls::RootCertStore::empty();
        match &self.ca_file {
            Some(path) => {
                let certificates = rustls::pki_types::CertificateDer::pem_file_iter(path)
                    .map_err(|e| failed().cause(format!("{}: {e}", path.display())))?;
                for certificate in certificates.flatten() {
                    roots.add(certificate).map_err(|e| failed().source(e))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Ok(rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| failed().source(e))?
            .with_root_certificates(roots)
            .with_no_client_auth())
    }
}

/// A url without the password and the query that it may hold.
pub(super) fn shown(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => url.to_owned(),
    }
}

/// Where a url leads, without the path, in which many webhooks have their token.
pub(super) fn shown_host(url: &str) -> String {
    let shown = shown(url);
    match shown.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.split('/').next()?)))
    {
        Some((scheme, host)) => format!("{scheme}://{host}/***"),
        None => "***".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_request_is_answered_and_only_its_own_headers_are_sent() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = vec![0; 4096];
            let read = stream.read(&mut asked).await.unwrap();
            stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            String::from_utf8_lossy(&asked[..read]).into_owned()
        });
        let request = Request {
            method: "POST".into(),
            url: format!("http://127.0.0.1:{port}/a?b=c"),
            headers: [("x-key".to_owned(), "v".to_owned())].into(),
            body: Some("hello".into()),
            ca_file: None,
        };
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (201, "ok"));
        let asked = server.await.unwrap().to_lowercase();
        assert!(asked.starts_with("post /a?b=c http/1.1\r\n"), "{asked}");
        assert!(asked.contains("x-key: v") && asked.contains(&format!("host: 127.0.0.1:{port}")));
    }

    #[tokio::test]
    async fn no_answer_is_a_failure_that_shows_no_password() {
        let request = Request {
            method: "GET".into(),
            url: "http://me:hunter2@127.0.0.1:1/?token=hunter2".into(),
            ..Request::default()
        };
        let error = request.send().await.unwrap_err();
        assert!(
            error.code() == Code::HttpFailed && !error.to_string().contains("hunter2"),
            "{error}"
        );
    }
}
