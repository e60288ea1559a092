//! Progress for a person at a terminal.

use super::{Event, Progress};
use crate::printable::printable;
use crate::size;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How often a bar moves although nothing was reported.
const TICK: Duration = Duration::from_millis(120);

/// Shows steps, notes and a bar for each task on standard error while that is a terminal.
/// Otherwise, and with `--quiet`, only warnings, one a line.
pub struct Terminal {
    /// None where only warnings are shown.
    bars: Option<MultiProgress>,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    running: HashMap<String, ProgressBar>,
}

impl Terminal {
    /// Writes to standard error.
    pub fn stderr(quiet: bool) -> Self {
        let bars = (!quiet && io::stderr().is_terminal())
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self::new(bars, Box::new(io::stderr()))
    }

    fn new(bars: Option<MultiProgress>, out: Box<dyn Write + Send>) -> Self {
        Self { bars, state: Mutex::new(State { out, running: HashMap::new() }) }
    }
}

impl Drop for Terminal {
    /// Leaves no half bar on the screen when the work ended early.
    fn drop(&mut self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }
}

impl Progress for Terminal {
    fn report(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bars) = &self.bars else {
            if let Event::Warned(warning) = event {
                state.line(&format!("warning: {}", warning.message));
            }
            return;
        };
        match event {
            Event::Step { step } => {
                bars.suspend(|| state.line(&format!("• {}", step.replace('_', " "))))
            }
            Event::Note { message } => bars.suspend(|| state.line(&format!("  {message}"))),
            Event::Warned(warning) => {
                bars.suspend(|| state.line(&format!("! warning: {}", warning.message)));
            }
            Event::Started { task, total_bytes } => {
                let bar = bars.add(bar(&task, total_bytes));
                bar.enable_steady_tick(TICK);
                if let Some(earlier) = state.running.insert(task, bar) {
                    bars.remove(&earlier);
                }
            }
            Event::Advanced { task, bytes } => {
                if let Some(bar) = state.running.get(&task) {
                    bar.inc(bytes);
                }
            }
            Event::Finished { task } => {
                if let Some(bar) = state.running.remove(&task) {
                    let done = finished(&task, &bar);
                    bar.finish_and_clear();
                    bars.remove(&bar);
                    bars.suspend(|| state.line(&done));
                }
            }
        }
    }
}

impl State {
    /// Writes a line; a terminal that went away stops nothing.
    fn line(&mut self, text: &str) {
        let _ = writeln!(self.out, "{}", printable(text)).and_then(|()| self.out.flush());
    }
}

/// How the bar of a task looks, whose size is known or not.
fn template(sized: bool) -> &'static str {
    if sized {
        "  {msg:24} {bar:24} {bytes:>11} of {total_bytes}  {bytes_per_sec}  {eta} left"
    } else {
        "  {msg:24} {spinner} {bytes:>11}  {bytes_per_sec}"
    }
}

fn bar(task: &str, total_bytes: Option<u64>) -> ProgressBar {
    // The templates are constants that a test parses; the default style is as good.
    let style = ProgressStyle::with_template(template(total_bytes.is_some()))
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─");
    let bar = total_bytes.map_or_else(ProgressBar::no_length, ProgressBar::new);
    // Not set_message(), which would draw the bar before it has its place.
    bar.with_style(style).with_message(task.to_owned())
}

fn finished(task: &str, bar: &ProgressBar) -> String {
    let seconds = bar.elapsed().as_secs_f64();
    match bar.position() {
        // Programs that work in parallel do not tell their bytes.
        0 => format!("  {task}: done in {seconds:.1} s"),
        bytes => format!("  {task}: {} in {seconds:.1} s", size::bytes(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use std::sync::Arc;

    /// What was written, shared with the terminal under test.
    #[derive(Clone, Default)]
    struct Screen(Arc<Mutex<Vec<u8>>>);

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn shown(bars: Option<MultiProgress>) -> String {
        let screen = Screen::default();
        let terminal = Terminal::new(bars, Box::new(screen.clone()));
        let progress: &dyn Progress = &terminal;
        let task = || "files uploads".to_owned();
        progress.step("capture_files");
        progress.report(Event::Started { task: task(), total_bytes: Some(4096) });
        progress.report(Event::Advanced { task: task(), bytes: 1024 });
        progress.report(Event::Advanced { task: task(), bytes: 1024 });
        progress.warn(Code::PermissionDenied, "cannot read a");
        progress.report(Event::Finished { task: task() });
        progress.report(Event::Finished { task: "never started".into() });
        progress.note("done");
        assert!(terminal.state.lock().unwrap().running.is_empty());
        let bytes = screen.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_pipe_gets_warnings_alone() {
        assert_eq!(shown(None), "warning: cannot read a\n");
    }

    #[test]
    fn a_terminal_gets_steps_notes_and_what_each_task_moved() {
        let hidden = MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let shown = shown(Some(hidden));
        let (before, after) = shown.split_once(" in ").unwrap();
        assert_eq!(before, "• capture files\n! warning: cannot read a\n  files uploads: 2.0 KiB");
        assert!(after.ends_with(" s\n  done\n"), "{after}");
    }

    #[test]
    fn the_templates_are_valid() {
        for sized in [true, false] {
            ProgressStyle::with_template(template(sized)).unwrap();
        }
    }
}
