//! The book: how to use this crate, from the first program to threads.
//!
//! - [Quick start](quick_start)
//! - [From 2009 to Rust](from_2009): each name of the API of 2009, and what it is called here
//! - [Calls through NATs](nat)
//! - [Security](security)
//! - [Threads](threads)

#[doc = include_str!("quick_start.md")]
pub mod quick_start {}

#[doc = include_str!("from_2009.md")]
pub mod from_2009 {}

#[doc = include_str!("nat.md")]
pub mod nat {}

#[doc = include_str!("security.md")]
pub mod security {}

#[doc = include_str!("threads.md")]
pub mod threads {}
