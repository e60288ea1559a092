//! Actions: what a step can do. Each has its own parameters, says honestly what it would do,
//! and where it can, tells whether it did it and undoes it.
//!
//! A new action is a type that implements [`Action`] and a line in [`Registry::shipped`].

mod erased;
mod registry;
mod scope;
mod shipped;

pub use registry::Registry;
pub(super) use scope::SECRET_FILES;
pub use scope::{Point, Points, Scope};
pub use shipped::sql::SqlAnswer;

pub(super) use erased::{Acting, AnyAction, Prepared};

use crate::error::{Code, Error, Result};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What an action returns: what later steps may use, by name.
pub type Outputs = Map<String, Value>;

/// What a probe found out about an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Probe {
    /// It took place; with what the action would have returned.
    Done(Outputs),
    /// It did not take place at all.
    NotDone,
    /// A part of it took place, as this says.
    Partial(String),
    /// Nobody can tell, for this reason: a person has to.
    Unknown(String),
}

/// One kind of thing that a step does.
///
/// The engine writes an intent before [`run`](Self::run) and its outcome after it. What happens
/// in between may be cut off at any instruction, so an action that is not idempotent should
/// [note](Scope::note) before its effect by what a probe will recognise it.
pub trait Action: Send + Sync + 'static {
    /// Its parameters. Texts of a form that serde alone checks need an example in the schema.
    type With: DeserializeOwned + JsonSchema + Send + Sync;

    /// How runbooks name it, e.g. `docker.stop`.
    const NAME: &'static str;
    /// What it does, one line.
    const ABOUT: &'static str;
    /// The names of what it returns.
    const OUTPUTS: &'static [&'static str] = &[];
    /// The parameters in which a secret may stand: no program's arguments, no log.
    const SECRETS: &'static [&'static str] = &[];
    /// It changes nothing: it may be a precondition, a check or a probe, and `plan` runs it.
    const READS_ONLY: bool = false;
    /// It may be a precondition, a check or a probe all the same: its author sees to it that it
    /// changes nothing.
    const MAY_CHECK: bool = Self::READS_ONLY;
    /// Doing it twice always does what doing it once does.
    const IDEMPOTENT: bool = false;
    /// A person does it, so the step waits until one says that it is done.
    const BY_A_PERSON: bool = false;
    /// It has a [`probe`](Self::probe).
    const PROBES: bool = false;
    /// It has an [`undo`](Self::undo), which is registered where a step has no `compensate`.
    const UNDOES: bool = false;

    /// What is wrong with parameters whose types are right.
    ///
    /// # Errors
    /// The sentence that a person reads.
    fn check(_with: &Self::With) -> Result<(), String> {
        Ok(())
    }

    /// What would be done, resolved: one line for people, without secrets.
    fn plan(&self, with: &Self::With) -> String;

    /// Does it. Ends early when [`Scope::cancel`] is set.
    fn run(&self, with: &Self::With, scope: &Scope)
    -> impl Future<Output = Result<Outputs>> + Send;

    /// Tells whether it was done, by looking; changes nothing.
    fn probe(
        &self,
        _with: &Self::With,
        _scope: &Scope,
    ) -> impl Future<Output = Result<Probe>> + Send {
        async { Ok(Probe::Unknown("the action cannot tell".into())) }
    }

    /// What it says as the probe of another step: that the effect took place where it succeeds,
    /// and that it did not where it finds something else than it should.
    fn answer(
        &self,
        with: &Self::With,
        scope: &Scope,
    ) -> impl Future<Output = Result<Probe>> + Send {
        async {
            match self.run(with, scope).await {
                Ok(outputs) => Ok(Probe::Done(outputs)),
                Err(error) if error.code() == Code::AssertionFailed => Ok(Probe::NotDone),
                Err(error) if error.code() == Code::Interrupted => Err(error),
                Err(error) => Ok(Probe::Unknown(error.to_string())),
            }
        }
    }

    /// Ends what an attempt that was cut off may have left running where no process group reaches:
    /// a session, a program in a container. It is called before anybody asks what became of the
    /// attempt, and may be called several times.
    fn halt(&self, _with: &Self::With, _scope: &Scope) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Undoes it; `outputs` is what it returned, where that is known. Must be idempotent.
    fn undo(
        &self,
        _with: &Self::With,
        _outputs: Option<&Outputs>,
        _scope: &Scope,
    ) -> impl Future<Output = Result<()>> + Send {
        async {
            Err(Error::new(Code::ActionFailed, "undo", Self::NAME).cause("it has no way back"))
        }
    }
}

/// A check that did not hold: `what` was expected, `found` was there instead.
pub fn not_held(what: impl std::fmt::Display, found: impl std::fmt::Display) -> Error {
    Error::new(Code::AssertionFailed, "confirm that", what).cause(found)
}
