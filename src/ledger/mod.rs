//! The log is the queue: events, cursors, seen ids and facts in one redb file. Nothing else uses redb.
