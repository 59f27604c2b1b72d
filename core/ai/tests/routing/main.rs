//! Routing by its public face: strategies over many calls of several workers, the life of single calls, names,
//! configurations, and random orders of everything.
#![allow(clippy::unwrap_used, clippy::panic)]

mod calls;
mod names;
mod properties;
mod specs;
mod strategies;
mod world;
