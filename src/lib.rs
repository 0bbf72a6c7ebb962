//! ChainBot for small boards. The rooms, in reading order; dependencies point upwards only:
//! `cli -> shell -> {api, wire, config, ledger} -> agent`.

pub mod agent;
pub mod api;
pub mod cli;
pub mod config;
pub mod ledger;
pub mod shell;
pub mod wire;
