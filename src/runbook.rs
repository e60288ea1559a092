//! Runbooks: recovery procedures that are executed, and resumed, step by step.
//!
//! A runbook is YAML ([`model`]), refused unless it can be run ([`check`]). A run is its journal
//! ([`run`]): intent before effect, outcome with outputs after it. The [`Engine`] does the steps
//! by the rules of `docs/runbooks/format.md`; what a step can do is an [`Action`].

mod action;
mod audience;
mod check;
mod child;
mod decide;
mod document;
mod engine;
mod http;
mod library;
mod log;
mod mirror;
mod model;
mod page;
mod parameters;
mod plan;
mod repeat;
mod report;
mod run;
mod schema;
mod secret;
mod template;
mod view;

pub use action::{Action, Outputs, Point, Points, Probe, Registry, Scope, SqlAnswer, not_held};
pub use audience::{Audience, News, Nobody, Reply};
pub use check::{Checked, check};
pub use child::{Attendant, ChildCommand, ChildEnd};
pub use decide::{Decided, abort, approve, resolve};
pub use engine::{Engine, Outcome, check_secrets};
pub use http::check_url;
pub use library::{Library, Listed, read};
pub use log::StepLog;
pub use mirror::{mirror, mirror_into};
pub use model::{
    Approval, Call, Item, Objectives, OnFailure, Parameter, ParameterType, ProbeCall, Retry,
    Runbook, SecretSource, Step,
};
pub use page::page;
pub use parameters::Parameters;
pub use plan::{Finding, Plan, PlannedStep, plan};
pub use report::{Decision, Evidence, Moment, Report, report};
pub use run::{
    ApprovalRecord, AttemptRecord, Created, Ended, Entry, Group, Line, Means, Phase, Run, RunState,
    State, StepState, Store, UnitRecord, Verdict, WaitingFor, Who, new_id,
};
pub use schema::schema;
pub use secret::Secrets;
pub use view::{RunView, StepView, WaitingView, unfinished, view};
