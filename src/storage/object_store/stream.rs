//! Sending an object in one request without holding it in memory: for WebDAV, which knows no
//! parts, and for which opendal would hold all of it.

use super::runtime;
use super::upload::piece;
use crate::error::{Code, Error, Result};
use crate::storage::Blob;
use crate::storage::failure::unreachable;
use bytes::Bytes;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use std::fmt;
use std::io;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// The bytes that are read at once; a few of these are held.
const PIECE: usize = 4 << 20;

/// Where to, and as whom.
pub(super) struct Streaming {
    client: Client,
    base: Url,
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
}

impl fmt::Debug for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Streaming")
    }
}

impl Streaming {
    /// To what lies below `prefix` of a server; none where that is no address.
    pub(super) fn new(
        server: &str,
        prefix: &str,
        user: Option<String>,
        password: Option<String>,
        token: Option<String>,
    ) -> Option<Self> {
        let mut base = Url::parse(server).ok()?;
        if !prefix.is_empty() {
            base.path_segments_mut().ok()?.pop_if_empty().extend(prefix.split('/'));
        }
        let client = Client::builder().build().ok()?;
        Some(Self { client, base, user, password, token })
    }

    fn request(&self, name: &str, size: u64) -> Option<RequestBuilder> {
        let mut url = self.base.clone();
        url.path_segments_mut().ok()?.pop_if_empty().extend(name.split('/'));
        let request = self.client.put(url).header(CONTENT_LENGTH, size);
        Some(match (&self.token, &self.user) {
            (Some(token), _) => request.bearer_auth(token),
            (None, Some(user)) => request.basic_auth(user, self.password.as_deref()),
            (None, None) => request,
        })
    }

    /// Sends an object. `shown` is what messages call it.
    pub(super) fn put(
        &self,
        (name, shown): (&str, &str),
        content: &Blob,
        cancel: &CancellationToken,
        sent: &mut dyn FnMut(u64),
    ) -> Result<()> {
        let (pieces, mut received) = mpsc::channel::<io::Result<Bytes>>(2);
        let body = futures_util::stream::poll_fn(move |context| received.poll_recv(context));
        let no_address = || Error::new(Code::StorageFailed, "write", shown);
        let request = self.request(name, content.size()).ok_or_else(no_address)?;
        let answer = runtime::spawn(request.body(reqwest::Body::wrap_stream(body)).send())?;
        let mut offset = 0;
        while offset < content.size() {
            if cancel.is_cancelled() {
                answer.abort();
                return Err(Error::new(Code::Interrupted, "write", shown));
            }
            let bytes = piece(content, offset, PIECE).inspect_err(|_| answer.abort())?;
            let length = bytes.len() as u64;
            if pieces.blocking_send(Ok(bytes)).is_err() {
                // The server has answered before the end; what, is seen below.
                break;
            }
            offset += length;
            sent(length);
        }
        drop(pieces);
        let patience = runtime::patience(usize::try_from(content.size()).unwrap_or(usize::MAX));
        match runtime::wait(patience, answer)? {
            Some(Ok(Ok(response))) => judge(&response, shown),
            Some(Ok(Err(e))) => Err(unreachable("write", shown, said(e.without_url()))),
            Some(Err(e)) => Err(unreachable("write", shown, e)),
            None => Err(unreachable("write", shown, "it did not answer in time")),
        }
    }
}

fn judge(response: &Response, shown: &str) -> Result<()> {
    let status = response.status();
    match status {
        _ if status.is_success() => Ok(()),
        StatusCode::TOO_MANY_REQUESTS | StatusCode::LOCKED => {
            Err(unreachable("write", shown, status))
        }
        _ if status.is_server_error() && status != StatusCode::INSUFFICIENT_STORAGE => {
            Err(unreachable("write", shown, status))
        }
        _ => Err(Error::new(Code::StorageFailed, "write", shown).cause(status)),
    }
}

/// The texts of an error and its sources.
fn said(error: reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(&error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}
