//! `backstop guard`: upgrades with a way back.

mod integrations;
