//! A load generator that runs beside a test.

use super::shop::Shop;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::{Child, Stdio};

/// A running load generator; killed when dropped.
pub(crate) struct Load {
    child: Child,
}

impl Load {
    /// Starts `clients` clients that begin `rate` uploads a second together.
    pub(crate) fn start(url: &str, clients: u32, rate: u32) -> Self {
        let (clients, rate) = (clients.to_string(), rate.to_string());
        let arguments = ["load", "--url", url, "--clients", &clients, "--rate", &rate];
        let mut command = Shop::get().command(&arguments);
        Self { child: command.stdout(Stdio::piped()).spawn().unwrap() }
    }

    /// Lets it finish what it began; how many uploads the service has confirmed.
    ///
    /// # Panics
    /// When the service refused one.
    pub(crate) fn stop(mut self) -> u64 {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        let said: Value = serde_json::from_reader(self.child.stdout.take().unwrap()).unwrap();
        assert!(self.child.wait().unwrap().success());
        assert_eq!(said["failed"], 0, "{said}");
        said["stored"].as_u64().unwrap()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
