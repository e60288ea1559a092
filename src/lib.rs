//! One consistent backup of PostgreSQL databases, Docker containers and the files they
//! share, taken at one instant, and its restore.
//!
//! `docs/architecture.md` shows the layers. Each uses those below it, never those above.

pub mod archive;
pub mod backup;
pub mod browse;
pub mod catalog;
pub mod checkpoint;
pub mod cli;
pub mod clock;
pub mod config;
pub mod copies;
pub mod database;
pub mod deadline;
pub mod docker;
pub mod encryption;
pub mod error;
pub mod fence;
pub mod guard;
pub mod hex;
pub mod host;
pub mod printable;
pub mod progress;
pub mod repository;
pub mod restore;
pub mod retention;
pub mod runbook;
pub mod setting;
pub mod size;
pub mod storage;
pub mod upkeep;
pub mod verify;
