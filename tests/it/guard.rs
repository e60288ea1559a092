//! `backstop guard`: upgrades with a way back.

mod integrations;
mod kills;
mod new_version;
mod upgrades;
