// The modules of the simulator for whoever lives in its worlds from elsewhere: `include!` this at the root of a crate. The
// simulator itself, `main.rs`, names them one by one, for rustfmt.
mod brain;
mod brain_checks;
mod bus;
mod calls;
mod chaos;
mod checks;
mod clients;
mod clock;
mod demand;
mod disk;
mod network;
mod node;
mod peers;
mod plan;
mod readers;
mod rng;
mod run;
mod script;
mod store;
mod trace;
mod world;
