//! One PostgreSQL server: connections, exported snapshots, dumps, restores and swaps.
//!
//! It knows one database at a time and nothing of repositories, Docker or the fence as a
//! whole. The way of a backup: [`Target::resolve`], [`Prepared::connect`],
//! [`Prepared::fence`], [`HeldSnapshot::observe_release`], [`dump`]. The way back:
//! [`Scratch::create`], [`Scratch::fill`], [`Scratch::verify`], [`swap::swap`].

mod acl;
mod amcheck;
mod child;
mod command;
mod common_tables;
mod compare;
mod connection;
mod copy;
mod describe;
pub mod dump;
mod exec;
mod failure;
mod globals;
mod listing;
mod live_rows;
mod maintenance;
mod marked;
mod missing;
mod names;
mod observer;
mod password;
mod pattern;
mod pgpass;
mod queue;
mod quote;
mod replication;
mod rights;
mod roles;
mod rows;
mod schema;
mod scratch;
mod sessions;
mod settings;
mod snapshot;
mod statement;
mod streams;
pub mod swap;
mod target;
mod tls;
mod tools;
mod url;

pub use amcheck::{Amchecked, amcheck};
pub use child::ChildRunner;
pub use command::ToolCommand;
pub use common_tables::{CommonTables, common_tables};
pub use compare::{Compared, Different, compare_rows};
pub use connection::{Connection, Server};
pub use describe::{Description, describe};
pub use dump::{DumpRequest, DumpResult};
pub use exec::{Exec, Exited, Running};
pub use globals::{GLOBALS, check_globals, dump_globals};
pub use listing::{list_dump, read_dump, write_dump};
pub use live_rows::{LiveTable, live_rows};
pub use marked::{create_marked, drop_marked, mark_of};
pub use missing::{BroughtBack, Missing, Wanted, bring_back, find_missing, take_away};
pub use names::{MAX_NAME_BYTES, derived_name};
pub use observer::Release;
pub use password::{Password, Surroundings};
pub use quote::{quote_identifier, quote_literal};
pub use replication::{Replication, replication};
pub use rights::{Rights, rights};
pub use roles::create_missing_roles;
pub use schema::{SchemaCompared, compare_schema};
pub use scratch::{Scratch, database_exists, database_size, drop_database, rename_database};
pub use sessions::{Session, end_sessions};
pub use snapshot::{HeldSnapshot, Prepared};
pub use statement::{Answer, Outcome, Transaction};
pub use target::{SslMode, Target};
pub use tools::{ToolVersion, Tools};
