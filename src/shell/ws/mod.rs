//! WebSockets on one thread: the driver that both roles share, and the sockets of the open port.

pub(super) mod attend;
pub mod cursor;
pub mod driver;
pub mod hub;
pub(super) mod key;
mod meter;
