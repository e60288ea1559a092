//! The way back, through the program.

mod damage;
mod elsewhere;
mod failures;
mod in_place;
mod trees;
