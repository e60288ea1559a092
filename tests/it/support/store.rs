//! Stores that run in this process, on a port of the loopback that the kernel picks.

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
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
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        runtime.spawn(serve(listener, service, requests.clone()));
        Self { address, directory, requests, _runtime: runtime }
    }

    /// Its address, as `options.endpoint` takes it.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests it was sent so far.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
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

async fn serve(listener: TcpListener, service: S3Service, requests: Arc<AtomicUsize>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (service, requests) = (service.clone(), requests.clone());
        let counted = service_fn(move |request: Request<Incoming>| {
            requests.fetch_add(1, Ordering::SeqCst);
            Service::call(&service, request)
        });
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(socket), counted).await;
        });
    }
}
