//! Tools that are run: real commands in real processes, below a real folder.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)]

#[path = "tools/commands.rs"]
mod commands;
#[path = "tools/killed.rs"]
mod killed;
#[path = "tools/servers.rs"]
mod servers;
mod stand_in;
#[path = "tools/world.rs"]
mod world;
