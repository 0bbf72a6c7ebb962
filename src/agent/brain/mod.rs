//! The brain: questions to models upstream, conversations held here, tools within permission.
//!
//! What thinks is elsewhere; here is decided whom to ask, what of a conversation is sent along, what a model's call of a tool
//! may do, and what of all that is kept. Bodies and answers pass through the shell: only their sizes and ends come here.

pub mod setup;
pub mod speech;
