//! Runbooks: what survives, what happens once, and what a person is asked.

mod actions;
mod bench;
mod commands;
mod containers;
mod crash;
mod disaster_kills;
mod disasters;
mod effect;
mod objectives;
mod own;
mod property;
mod recovery;
mod refused;
mod rules;
mod survival;
mod terminal;
mod told;
