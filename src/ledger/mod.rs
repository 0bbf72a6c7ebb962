//! The log is the queue: events, cursors, seen ids and facts in one redb file. Nothing else uses redb.
//!
//! One append-only table of events; everybody who reads it keeps a cursor. `Ledger` is shared by reference: one
//! thread commits, any other reads without waiting for the commit. Opened over a `StorageBackend`, so that tests
//! can cut the power.
//!
//! - `store` opens, and closes and opens again after an I/O error, which redb never forgives.
//! - `commit` makes writes durable, one transaction each; `room` drops the oldest events for them.
//! - `read` reads.
//! - `talks` are the conversations, `talk_codec` their bytes.
//! - `record` and `codec` are the bytes of a value: version, CRC-32, payload. `disk` is the file below redb.
//! - `verify`, `salvage` and `prepare` are for damage.
//!
//! Not here: when to commit, what a cursor means, any clock or thread.

mod codec;
mod commit;
mod disk;
mod ids;
mod overlay;
mod prepare;
mod read;
mod record;
mod room;
mod salvage;
mod store;
mod talk_codec;
mod talks;
mod verify;

pub use codec::{DecodeFault, EventHead, decode, decode_head, encode};
pub use commit::CommitReport;
pub use prepare::{ChildResult, EXIT_DAMAGED, prepare_file, quarantine};
pub use read::{Fetched, Page, ReadFault, Stats};
pub use salvage::{Found, SalvageReport, salvage_file, scan_page};
pub use store::{Ledger, Limits, OpenError, SIZE_MIN_BYTES};
pub use talk_codec::{decode_message, decode_record, encode_message, encode_record};
pub use verify::{CompactReport, VerifyReport, compact_file, verify_file};
