//! The machine that backstop runs on.

/// Its name, as `uname -n` prints it.
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
