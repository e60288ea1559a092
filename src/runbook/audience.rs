//! Who looks on while a run goes on, and who answers its questions.

use super::run::{StepState, WaitingFor};
use tokio_util::sync::CancellationToken;

/// Something that an onlooker may want to see.
#[derive(Debug)]
pub enum News<'a> {
    /// A unit begins an attempt.
    Started {
        /// The step, or a part of one.
        step: &'a str,
        /// The attempt's number.
        attempt: u32,
        /// What is done.
        plan: &'a str,
    },
    /// A line of output.
    Output {
        /// The step.
        step: &'a str,
        /// The line, without secrets.
        line: &'a str,
    },
    /// A unit came to rest.
    Ended {
        /// The step.
        step: &'a str,
        /// Its state.
        state: StepState,
        /// How long it took, in seconds.
        seconds: f64,
        /// Why, where there is a reason.
        reason: Option<&'a str>,
    },
    /// Something about the run as a whole.
    Said {
        /// The sentence.
        message: &'a str,
    },
}

/// What a person said to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// Go on.
    Yes,
    /// Not now: the run pauses.
    No,
    /// Nobody is there: the run waits.
    Nobody,
    /// The question is settled otherwise, or the runner has to end.
    Settled,
}

/// Onlookers. Called from many threads; must not block for long, except to ask.
pub trait Audience: Send + Sync {
    /// Takes note.
    fn tell(&self, news: News<'_>);

    /// Asks a person, until there is an answer, `settled` says that none is needed any more, or
    /// `cancel` is set. May block.
    fn ask(
        &self,
        step: &str,
        question: &WaitingFor,
        settled: &mut dyn FnMut() -> bool,
        cancel: &CancellationToken,
    ) -> Reply;
}

/// Nobody looks on, and nobody answers.
#[derive(Debug, Default, Clone, Copy)]
pub struct Nobody;

impl Audience for Nobody {
    fn tell(&self, _: News<'_>) {}

    fn ask(
        &self,
        _: &str,
        _: &WaitingFor,
        _: &mut dyn FnMut() -> bool,
        _: &CancellationToken,
    ) -> Reply {
        Reply::Nobody
    }
}
