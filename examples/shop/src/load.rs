//! The load generator.

use crate::Failure;
use crate::client::Client;
use crate::termination::Termination;
use serde::Serialize;
use std::hash::{BuildHasher, RandomState};
use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// The largest file that is uploaded, in bytes.
const LARGEST: u64 = 16 * 1024;

const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(100);

/// How long an upload is retried after the request to stop.
const PATIENCE: Duration = Duration::from_secs(10);

/// Uploads small random files until a limit or a signal ends it.
pub(crate) struct Load {
    pub(crate) client: Client,
    /// How many uploads may be under way at once.
    pub(crate) clients: u32,
    /// How many uploads begin each second, all clients together; 0 is no limit.
    pub(crate) rate: f64,
    /// How many uploads there are in all.
    pub(crate) count: Option<u64>,
    /// How long new uploads are begun, in seconds.
    pub(crate) seconds: Option<u64>,
}

/// What became of the uploads.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Counts {
    /// The service has them.
    stored: u64,
    /// Attempts that failed and were made again, the service being away.
    retried: u64,
    /// Uploads that the service refused, or that were given up at the end.
    failed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.stored += other.stored;
        self.retried += other.retried;
        self.failed += other.failed;
    }
}

impl Load {
    /// Returns the counts when every upload that began has ended.
    pub(crate) async fn run(self) -> Result<Counts, Failure> {
        let mut termination = Termination::listen()?;
        let (stop, stopping) = watch::channel(false);
        let seconds = self.seconds;
        let plan = Arc::new(Plan {
            random: RandomState::new(),
            begin: Instant::now(),
            next: AtomicU64::new(0),
            load: self,
        });
        let mut workers = JoinSet::new();
        for _ in 0..plan.load.clients {
            workers.spawn(plan.clone().work(stopping.clone()));
        }
        let limit = async {
            match seconds {
                Some(seconds) => sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        let mut counts = Counts::default();
        tokio::pin!(limit);
        loop {
            tokio::select! {
                ended = workers.join_next() => match ended {
                    Some(worker) => counts += worker?,
                    None => return Ok(counts),
                },
                () = termination.requested() => drop(stop.send(true)),
                () = &mut limit, if !*stop.borrow() => drop(stop.send(true)),
            }
        }
    }
}

/// Deals out the uploads, numbered from 0.
struct Plan {
    load: Load,
    random: RandomState,
    begin: Instant,
    next: AtomicU64,
}

impl Plan {
    async fn work(self: Arc<Self>, mut stopping: watch::Receiver<bool>) -> Counts {
        let mut counts = Counts::default();
        loop {
            let number = self.next.fetch_add(1, Relaxed);
            if self.load.count.is_some_and(|count| number >= count) {
                return counts;
            }
            tokio::select! {
                biased;
                _ = stopping.wait_for(|stop| *stop) => return counts,
                () = sleep_until(self.begin + due(number, self.load.rate)) => {}
            }
            counts += self.upload(number, &stopping).await;
        }
    }

    /// One upload, tried again while the service is away.
    async fn upload(&self, number: u64, stopping: &watch::Receiver<bool>) -> Counts {
        let seed = self.random.hash_one(number);
        let path = format!("/uploads/{number:06}-{seed:016x}.bin");
        let bytes = content(seed);
        let mut counts = Counts::default();
        let mut give_up = None;
        loop {
            match self.load.client.post(&path, &bytes).await.map(|answer| answer.status) {
                Ok(201) => counts.stored += 1,
                // An attempt that got no answer had its effect all the same.
                Ok(409) if counts.retried > 0 => counts.stored += 1,
                Ok(status) if status != 503 => counts.failed += 1,
                _ => {
                    if *stopping.borrow() {
                        let end = *give_up.get_or_insert_with(|| Instant::now() + PATIENCE);
                        if Instant::now() > end {
                            counts.failed += 1;
                            return counts;
                        }
                    }
                    counts.retried += 1;
                    sleep(BETWEEN_ATTEMPTS).await;
                    continue;
                }
            }
            return counts;
        }
    }
}

/// When an upload is due, from the beginning of the run on. After the service was away
/// the missed ones are made up for as fast as it takes them.
fn due(number: u64, rate: f64) -> Duration {
    let seconds = if rate > 0.0 { number as f64 / rate } else { 0.0 };
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

/// Random bytes of a random length (xorshift64*).
fn content(seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut draw = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_F491_4F6C_DD1D)
    };
    let length = draw() % (LARGEST + 1);
    (0..length).map(|_| draw().to_le_bytes()[7]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_spread_evenly() {
        assert_eq!(due(0, 20.0), Duration::ZERO);
        assert_eq!(due(40, 20.0), Duration::from_secs(2));
        assert_eq!(due(40, 0.0), Duration::ZERO);
    }

    #[test]
    fn contents_differ_and_stay_small() {
        let all: Vec<_> =
            (0..50_u8).map(|seed| content(RandomState::new().hash_one(seed))).collect();
        assert!(all.iter().all(|bytes| bytes.len() as u64 <= LARGEST));
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
