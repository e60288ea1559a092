//! What is attempted: a step, or a part of one that is done by itself.

use crate::config::Timeout;
use crate::runbook::model::{Call, ProbeCall, Retry, Step};
use serde_json::Value;

/// A step's action, what undoes it, or what is done instead.
pub(super) struct Unit<'a> {
    pub(super) name: String,
    pub(super) step: &'a Step,
    pub(super) kind: Kind,
    pub(super) action: &'a str,
    pub(super) with: &'a Value,
    pub(super) timeout: Option<Timeout>,
    pub(super) idempotent: bool,
    pub(super) retry: Retry,
    pub(super) probe: Option<&'a ProbeCall>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The step itself.
    Step,
    /// Its `compensate`, or an item of its `rescue`.
    Call,
    /// The action's own way back.
    Undo,
}

impl<'a> Unit<'a> {
    pub(super) fn step(step: &'a Step) -> Self {
        Self {
            name: step.id.clone(),
            step,
            kind: Kind::Step,
            action: &step.action,
            with: &step.with,
            timeout: step.timeout,
            idempotent: step.idempotent,
            retry: step.retry,
            probe: step.probe.as_ref(),
        }
    }

    /// A part of a step: `STEP.part`.
    pub(super) fn part(step: &'a Step, part: &str, call: &'a Call) -> Self {
        Self {
            name: format!("{}.{part}", step.id),
            step,
            kind: Kind::Call,
            action: &call.action,
            with: &call.with,
            timeout: call.timeout,
            idempotent: call.idempotent,
            retry: Retry::default(),
            probe: None,
        }
    }

    /// What undoes a step: its `compensate`, else the way back of its action.
    pub(super) fn compensate(step: &'a Step) -> Self {
        match &step.compensate {
            Some(call) => Self::part(step, "compensate", call),
            None => Self {
                name: format!("{}.compensate", step.id),
                kind: Kind::Undo,
                idempotent: true,
                retry: Retry::default(),
                probe: None,
                ..Self::step(step)
            },
        }
    }
}
