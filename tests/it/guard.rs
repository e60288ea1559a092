//! `backstop guard`: upgrades with a way back.

mod daemon;
mod integrations;
mod kills;
mod new_version;
mod upgrades;
