//! WebSockets on one thread: the driver both roles share, and the sockets of the open port.

pub mod driver;
mod meter;
