//! Runbooks: what survives, what happens once, and what a person is asked.

mod actions;
mod bench;
mod commands;
mod crash;
mod effect;
mod property;
mod recovery;
mod rules;
