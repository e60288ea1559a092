//! The contract that other programs rely on, through the program itself.

mod commands;
mod doctor;
mod exit_codes;
mod holdings;
mod json;
mod output;
mod record;
mod setup;
mod stopped;
