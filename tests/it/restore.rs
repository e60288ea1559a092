//! The way back, through the program.

mod attributes;
mod chain_damage;
mod concurrent;
mod damage;
mod elsewhere;
mod failures;
mod in_place;
mod left_out;
mod losses;
mod mount_point;
mod onlookers;
mod row_counts;
mod trees;
