//! TCP ports for servers that a test starts.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::net::TcpListener;
use std::sync::{Mutex, PoisonError};

/// A free port on the loopback, never given out twice by one process.
///
/// It lies below the range from which the kernel takes ports for outgoing connections
/// (32768 and up): a container that is stopped for a moment must get its port back.
pub(crate) fn free() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let random = RandomState::new();
    (0..1000_u16)
        .map(|attempt| 15_000 + (random.hash_one(attempt) % 17_000) as u16)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && given.insert(*port))
        .expect("a free port below 32000")
}
