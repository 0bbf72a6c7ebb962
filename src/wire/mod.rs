//! Bytes to messages and back, one file per peer. Pure.
