//! Actions of all kinds behind one type.

use super::{Action, Outputs, Probe, Scope};
use crate::error::Result;
use crate::runbook::document::{Fault, Node, read};
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::pin::Pin;

/// Work of an action.
pub(in crate::runbook) type Acting<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// An action without its parameters' type.
pub(in crate::runbook) trait AnyAction: Send + Sync {
    fn name(&self) -> &'static str;
    fn about(&self) -> &'static str;
    fn outputs(&self) -> &'static [&'static str];
    fn secrets(&self) -> &'static [&'static str];
    fn reads_only(&self) -> bool;
    fn may_check(&self) -> bool;
    fn idempotent(&self) -> bool;
    fn by_a_person(&self) -> bool;
    fn probes(&self) -> bool;
    fn undoes(&self) -> bool;
    /// The JSON Schema of its parameters, without references.
    fn schema(&self) -> Value;
    /// The action with parameters that fit it.
    fn prepare<'a>(&'a self, with: &Node) -> Result<Box<dyn Prepared + 'a>, Fault>;
}

/// An action with its parameters.
pub(in crate::runbook) trait Prepared: Send + Sync {
    fn plan(&self) -> String;
    fn run<'a>(&'a self, scope: &'a Scope) -> Acting<'a, Outputs>;
    fn probe<'a>(&'a self, scope: &'a Scope) -> Acting<'a, Probe>;
    fn answer<'a>(&'a self, scope: &'a Scope) -> Acting<'a, Probe>;
    fn halt<'a>(&'a self, scope: &'a Scope) -> Acting<'a, ()>;
    fn undo<'a>(&'a self, outputs: Option<&'a Outputs>, scope: &'a Scope) -> Acting<'a, ()>;
}

struct With<'a, A: Action> {
    action: &'a A,
    with: A::With,
}

impl<A: Action> AnyAction for A {
    fn name(&self) -> &'static str {
        A::NAME
    }

    fn about(&self) -> &'static str {
        A::ABOUT
    }

    fn outputs(&self) -> &'static [&'static str] {
        A::OUTPUTS
    }

    fn secrets(&self) -> &'static [&'static str] {
        A::SECRETS
    }

    fn reads_only(&self) -> bool {
        A::READS_ONLY
    }

    fn may_check(&self) -> bool {
        A::MAY_CHECK
    }

    fn idempotent(&self) -> bool {
        A::IDEMPOTENT || A::READS_ONLY
    }

    fn by_a_person(&self) -> bool {
        A::BY_A_PERSON
    }

    fn probes(&self) -> bool {
        A::PROBES
    }

    fn undoes(&self) -> bool {
        A::UNDOES
    }

    fn schema(&self) -> Value {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.inline_subschemas = true;
            settings.meta_schema = None;
        });
        settings.into_generator().into_root_schema_for::<A::With>().to_value()
    }

    fn prepare<'a>(&'a self, with: &Node) -> Result<Box<dyn Prepared + 'a>, Fault> {
        let parameters: A::With = read(with)?;
        A::check(&parameters).map_err(|message| Fault::new(with.place, message))?;
        Ok(Box::new(With { action: self, with: parameters }))
    }
}

impl<A: Action> Prepared for With<'_, A> {
    fn plan(&self) -> String {
        self.action.plan(&self.with)
    }

    fn run<'a>(&'a self, scope: &'a Scope) -> Acting<'a, Outputs> {
        Box::pin(self.action.run(&self.with, scope))
    }

    fn probe<'a>(&'a self, scope: &'a Scope) -> Acting<'a, Probe> {
        Box::pin(self.action.probe(&self.with, scope))
    }

    fn answer<'a>(&'a self, scope: &'a Scope) -> Acting<'a, Probe> {
        Box::pin(self.action.answer(&self.with, scope))
    }

    fn halt<'a>(&'a self, scope: &'a Scope) -> Acting<'a, ()> {
        Box::pin(self.action.halt(&self.with, scope))
    }

    fn undo<'a>(&'a self, outputs: Option<&'a Outputs>, scope: &'a Scope) -> Acting<'a, ()> {
        Box::pin(self.action.undo(&self.with, outputs, scope))
    }
}
