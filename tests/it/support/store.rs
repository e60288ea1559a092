//! Stores that run in this process, on a port of the loopback that the kernel picks.

use dav_server::DavHandler;
use dav_server::fakels::FakeLs;
use dav_server::localfs::LocalFs;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use s3s::Body;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// The name of the key that the server knows.
pub(crate) const KEY_ID: &str = "AKIDTESTS";

/// The key itself.
pub(crate) const SECRET: &str = "s3cr3t-of-the-tests";

/// The only bucket.
pub(crate) const BUCKET: &str = "bucket";

/// A real S3 server over a directory, ended when this is dropped.
pub(crate) struct S3Server {
    address: std::net::SocketAddr,
    directory: TempDir,
    requests: Arc<AtomicUsize>,
    limit: Arc<AtomicUsize>,
    _runtime: Runtime,
}

impl S3Server {
    /// Starts one with an empty bucket.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(BUCKET)).unwrap();
        let mut builder = S3ServiceBuilder::new(s3s_fs::FileSystem::new(directory.path()).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = builder.build();
        let (runtime, listener) = listen();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let limit = Arc::new(AtomicUsize::new(usize::MAX));
        runtime.spawn(serve(listener, service, requests.clone(), limit.clone()));
        Self { address, directory, requests, limit, _runtime: runtime }
    }

    /// Its address, as `options.endpoint` takes it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it was sent so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// From now on only so many requests are answered; all others find it out of order.
    pub(crate) fn answer_only(&self, more: usize) {
        self.limit.store(self.requests().saturating_add(more), Ordering::SeqCst);
    }

    /// Where the objects of the bucket lie as files.
    pub(crate) fn objects(&self) -> std::path::PathBuf {
        self.directory.path().join(BUCKET)
    }

    /// Everything the server keeps, what belongs to unfinished uploads included.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A real WebDAV server over a directory, ended when this is dropped.
pub(crate) struct WebdavServer {
    address: std::net::SocketAddr,
    directory: TempDir,
    _runtime: Runtime,
}

impl WebdavServer {
    /// Starts an empty one.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let handler = DavHandler::builder()
            .filesystem(LocalFs::new(directory.path(), false, false, false))
            .locksystem(FakeLs::new())
            .build_handler();
        let (runtime, listener) = listen();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let handler = handler.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let handler = handler.clone();
                    async move { Ok::<_, std::convert::Infallible>(handler.handle(request).await) }
                });
                let connection = http1::Builder::new();
                tokio::spawn(async move {
                    let _ = connection.serve_connection(TokioIo::new(socket), service).await;
                });
            }
        });
        Self { address, directory, _runtime: runtime }
    }

    /// Its host and port.
    pub(crate) fn authority(&self) -> String {
        self.address.to_string()
    }

    /// Where the objects lie as files.
    pub(crate) fn objects(&self) -> &Path {
        self.directory.path()
    }
}

/// A thread for a server, and its port.
fn listen() -> (Runtime, TcpListener) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
    (runtime, listener)
}

async fn serve(
    listener: TcpListener,
    service: S3Service,
    requests: Arc<AtomicUsize>,
    limit: Arc<AtomicUsize>,
) {
    while let Ok((socket, _)) = listener.accept().await {
        let (service, requests, limit) = (service.clone(), requests.clone(), limit.clone());
        let counted = service_fn(move |request: Request<Incoming>| {
            let out_of_order =
                requests.fetch_add(1, Ordering::SeqCst) >= limit.load(Ordering::SeqCst);
            let answer = (!out_of_order).then(|| Service::call(&service, request));
            async {
                match answer {
                    Some(answer) => answer.await,
                    None => {
                        let mut refusal = Response::new(Body::empty());
                        *refusal.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                        Ok(refusal)
                    }
                }
            }
        });
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), counted).await;
        });
    }
}
