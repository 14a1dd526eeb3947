#![doc = include_str!("docs.md")]

mod cloud;
mod connector;
mod disks;
mod first_boot;
mod image;
mod inventory;
mod keys;
mod limits;
mod map;
mod mark;
mod network;
mod node;
mod outports;
mod settings;
mod storage;
mod subnet;
#[cfg(test)]
mod tests;
mod tool;
mod tree;

pub use cloud::LocalCloud;
pub use inventory::{LocalNetwork, LocalNode};
pub use settings::{DiskStorage, LocalSettings};
