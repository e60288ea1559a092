//! What a user may rely on, tested with real parts. One program, so that it is linked once.

#[cfg(test)]
mod browse;
#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod checkpoint;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod database;
#[cfg(test)]
mod docker;
#[cfg(test)]
mod elsewhere;
#[cfg(test)]
mod encryption;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod fence;
#[cfg(test)]
mod fixture;
#[cfg(test)]
mod guard;
#[cfg(test)]
mod incremental;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod lost_machine;
#[cfg(test)]
mod readers;
#[cfg(test)]
mod restore;
#[cfg(test)]
mod retention;
#[cfg(test)]
mod runbook;
#[cfg(test)]
mod stack;
#[cfg(test)]
mod stores;
#[cfg(test)]
mod support;
#[cfg(test)]
mod systemd;
#[cfg(test)]
mod upkeep;
#[cfg(test)]
mod variants;
#[cfg(test)]
mod verify;
