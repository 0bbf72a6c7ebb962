//! Every bound of the agent, with its unit and what happens at it; checked against each other at compile time.

/// Longest event type in bytes. Beyond: the webhook is refused with 422.
pub const EVENT_TYPE_BYTES_MAX: usize = 64;
/// Longest event message in bytes. Beyond: cut at a character and marked with an ellipsis.
pub const EVENT_MESSAGE_BYTES_MAX: usize = 256;
/// Largest request body in bytes. Beyond: 413.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of request bodies held at once over all connections, heads of more than 2 KiB among them; the share of one
/// largest body is kept for loopback. Beyond: 503 with Retry-After and close.
pub const BODIES_BYTES_MAX: usize = 192 * 1024;
/// Largest answer of a peer that is read, in bytes. Beyond: `TransportFault::TooLarge`.
pub const REPLY_BYTES_MAX: usize = 256 * 1024;
/// Largest request head in bytes. Beyond: 431 and close.
pub const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most header fields of a request. Beyond: 431 and close.
pub const HEADERS_MAX: usize = 64;
/// Most connections to the open port at once. Beyond: a new one is closed at once, one slot kept for loopback.
pub const CONNECTIONS_MAX: usize = 104;
/// The same while the port speaks TLS, which costs each of them some KiB more.
pub const TLS_CONNECTIONS_MAX: usize = 64;
/// Most connections of one foreign address at once. Beyond: the new one is closed at once.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 12;
/// Most requests that are read, decided and answered at once, those that wait for their commit or a model not counted; each may
/// hold 20 KiB. Beyond: a request waits for its turn
/// for `HEAD_TIME_MAX_MS` and is then answered 503 with Retry-After and close.
pub const EXCHANGES_MAX: usize = 16;
/// How many of them may be those of other machines.
pub const FOREIGN_EXCHANGES_MAX: usize = 13;
/// Time for a request head to arrive, in milliseconds. Beyond: closed.
pub const HEAD_TIME_MAX_MS: u64 = 10_000;
/// Time for a request body to arrive, in milliseconds. Beyond: 408 and close.
pub const BODY_TIME_MAX_MS: u64 = 20_000;
/// Time for the client to take some bytes of an answer, in milliseconds. Beyond: closed.
pub const WRITE_STALL_MAX_MS: u64 = 20_000;
/// Time that a kept-alive connection may idle, in milliseconds. Beyond: closed.
pub const IDLE_TIME_MAX_MS: u64 = 60_000;
/// Time for a client to read the last answer of a connection, in milliseconds. Beyond: dropped.
pub const LINGER_TIME_MAX_MS: u64 = 500;

/// Bytes that the kernel is asked to hold at most in each direction of a connection to the open port; it takes twice as
/// many. By itself it would hold megabytes for each client that does not read.
pub const KERNEL_BUFFER_BYTES: usize = 64 * 1024;
/// Time until a certificate that was not accepted under a clock that may be wrong is tried again, in milliseconds. Such a try
/// is counted by no schedule: the clock is not the peer's fault.
pub const CLOCK_RETRY_MS: u64 = 30_000;
/// Time until a call is tried again for which this machine had no descriptor, thread or memory left, in milliseconds. Such a try is
/// counted by no schedule either.
pub const LOCAL_RETRY_MS: u64 = 5_000;
/// Connections to the open port that the kernel keeps until they are accepted, or as few as it is set to (`net.core.somaxconn`).
/// Beyond: it drops them, and a client tries again after a second, those of this machine too.
pub const BACKLOG_MAX: i32 = 1024;
/// Most TLS handshakes at the open port at once. Beyond: a connection waits for `HEAD_TIME_MAX_MS` and is then closed.
pub const HANDSHAKES_MAX: usize = 8;
/// How many of them may be those of other machines.
pub const FOREIGN_HANDSHAKES_MAX: usize = 6;
/// How many of them may be those of one other machine.
pub const HANDSHAKES_PER_ADDRESS_MAX: usize = 3;
/// Time for a TLS handshake, from its turn on, in milliseconds. Beyond: closed.
pub const HANDSHAKE_TIME_MAX_MS: u64 = 5_000;
/// Most bytes of a TLS handshake's message that are gathered. Beyond: closed.
pub const TLS_HELLO_BYTES_MAX: usize = 8 * 1024;
/// Largest record of TLS in bytes (RFC 8446 section 5.2). More than 4 KiB of one are counted among `BODIES_BYTES_MAX`.
/// Beyond that: closed.
pub const TLS_RECORD_BYTES_MAX: usize = 16_645;

/// Most live tokens of `chainbot token`. Beyond: none is made.
pub const TOKENS_MAX: usize = 64;
/// Most tokens in their file, revoked and expired ones among them. Beyond: the oldest of these are forgotten.
pub const TOKEN_LINES_MAX: usize = 2 * TOKENS_MAX;
/// How long a token of `/api/auth/login` is good, in seconds, unless what was shown for it ends sooner.
pub const LOGIN_TIME_MAX_S: u64 = 60 * 60;
/// Addresses whose failures and requests are remembered; of IPv6 the first 64 bits. Beyond: that is forgotten which was quiet
/// longest, first of those without a success within `KNOWN_TIME_MAX_S` and without failures.
pub const THROTTLE_ADDRESSES_MAX: usize = 256;
/// Wrong credentials that one address may show within a minute. Beyond: 429 with Retry-After, before they are looked at.
pub const GUESSES_PER_ADDRESS_MAX: usize = 10;
/// Wrong credentials that all addresses together may show within a minute. Beyond: 429 with Retry-After for addresses without a
/// success within `KNOWN_TIME_MAX_S`.
pub const GUESSES_MAX: usize = 60;
/// How long an address is known for a right credential, in seconds.
pub const KNOWN_TIME_MAX_S: u64 = 60 * 60;

/// Largest frame and message of a WebSocket in bytes. Beyond: closed with 1009.
pub const SOCKET_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// Most writes that wait for a commit. Beyond: an intake is answered 503 with Retry-After.
pub const JOURNAL_WRITES_MAX: usize = 320;
/// Most bytes of events that wait for a commit. Beyond: an intake is answered 503 with Retry-After.
pub const JOURNAL_BYTES_MAX: usize = 192 * 1024;
/// Writes that make a commit go out at once.
pub const COMMIT_BATCH_RECORDS: usize = 16;
/// Longest time that a write waits for company before its commit goes out, in milliseconds.
pub const COMMIT_GATHER_MS: u64 = 50;
/// Longest time that a caller waits for its commit, in milliseconds. Beyond: 503, outcome unknown.
pub const COMMIT_WAIT_MAX_MS: u64 = 30_000;
/// Longest time that a moved cursor stays unwritten, in milliseconds.
pub const CURSOR_LAG_MAX_MS: u64 = 2_000;

/// Most `[[webhooks]]` entries. Beyond: a config error.
pub const HOOKS_MAX: usize = 16;
/// Most calls to `[[webhooks]]` in flight at once; ALEX OS and AIWM have one place each beside them.
pub const HOOK_CALLS_MAX: usize = 2;
/// Most calls in flight in all: the shell keeps as many helper threads.
pub const CALLS_MAX: usize = 4;
/// Records that one `Fetch` looks at before it reports how far it came.
pub const FETCH_SCAN_MAX: usize = 256;
/// Webhook ids remembered to answer a repetition. Beyond: the oldest is forgotten.
pub const INBOX_IDS_MAX: u64 = 10_000;
/// Longest `webhook-id` or `Idempotency-Key` in bytes. Beyond: 400.
pub const DEDUPE_ID_BYTES_MAX: usize = 256;
/// Most bytes of an instruction kept of the controller. Beyond: cut at a character.
pub const INSTRUCTION_BYTES_MAX: usize = 32 * 1024;
/// Most tools kept of the controller. Beyond: the rest is dropped and counted.
pub const TOOLS_MAX: usize = 128;
/// Most settings kept of the controller. Beyond: the rest is dropped and counted.
pub const SETTINGS_MAX: usize = 64;
/// Most agents of ALEX OS's canon kept. Beyond: the rest is dropped.
pub const CANON_MAX: usize = 64;
/// Lines of the log that a health report carries.
pub const LOG_EXCERPT_LINES: usize = 5;

/// Longest backoff between tries of anything, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 5 * 60 * 1_000;
/// How long a path that a peer does not offer is left alone, in milliseconds.
pub const NOT_OFFERED_RECHECK_MS: u64 = 15 * 60 * 1_000;
/// How often ALEX OS says of one event that its path is not there, each time after it took something else, until the event is
/// parked.
pub const NOT_OFFERED_TIMES: u32 = 3;
/// Between pings on the event bus, in milliseconds (the dashboard of ALEX OS does the same).
pub const BUS_PING_INTERVAL_MS: u64 = 30_000;
/// Time for a pong on the event bus, in milliseconds. Beyond: the link is dead and opened again.
pub const BUS_PONG_TIME_MAX_MS: u64 = 10_000;
/// Longest backoff between links to the event bus, in milliseconds, give or take a tenth.
pub const BUS_BACKOFF_MAX_MS: u64 = 60_000;
/// Most events sent to the bus before it must answer a ping.
pub const BUS_BATCH_EVENTS: usize = 10;
/// Bytes of events that end a batch early.
pub const BUS_BATCH_BYTES: usize = BODY_BYTES_MAX;
/// Shortest time from the start of one batch to the start of the next, in milliseconds.
pub const BUS_BATCH_INTERVAL_MS: u64 = 100;
/// Most events taken from the bus in a second. Beyond: dropped and counted.
pub const BUS_EVENTS_PER_SECOND: u32 = 50;
/// Time for a link to the bus to be opened, from the name's look-up to the end of the handshake, in milliseconds.
pub const BUS_OPEN_TIME_MAX_MS: u64 = 10_000;

/// Most `[[brain.provider]]` entries. Beyond: a config error.
pub const PROVIDERS_MAX: usize = 8;
/// Most `[[brain.mcp]]` entries. Beyond: a config error; servers of the controller beyond are dropped.
pub const MCP_SERVERS_MAX: usize = 4;
/// Most questions to models under way at once. Beyond: 503 with Retry-After.
pub const THOUGHTS_MAX: usize = 12;
/// Most turns under way at once, those that wait for a provider not counted. Beyond: 503 with Retry-After.
pub const TURNS_MAX: usize = 12;
/// Most callers of the open port that wait for a model or a turn at once. Beyond: 503 with Retry-After.
pub const ASKERS_MAX: usize = 12;
/// Tries of one question at one provider before the next is asked.
pub const THOUGHT_TRIES_MAX: u32 = 3;
/// Longest wait between two tries at one provider, in milliseconds. A provider that asks for more is left for the next.
pub const THOUGHT_RETRY_MAX_MS: u64 = 10_000;
/// Failures in a row that open a provider's circuit.
pub const CIRCUIT_FAILURES: u32 = 3;
/// Most conversations kept. Beyond: the one that was silent longest is forgotten.
pub const SESSIONS_MAX: usize = 32;
/// Most messages of a conversation kept. Beyond: the oldest are forgotten.
pub const SESSION_MESSAGES_MAX: u32 = 200;
/// Most bytes of text of a conversation kept. Beyond: the oldest messages are forgotten.
pub const SESSION_BYTES_MAX: u32 = 128 * 1024;
/// Most bytes of text of all conversations together. Beyond: the oldest messages of the one that was silent longest are
/// forgotten.
pub const CONVERSATIONS_BYTES_MAX: u32 = 1024 * 1024;
/// Longest message of a conversation in bytes. Of a person: 422. Of a model: it is streamed whole, kept cut at a character.
pub const MESSAGE_BYTES_MAX: usize = 32 * 1024;
/// Most tools called by one message of a model. Beyond: the rest is answered as not run.
pub const TOOL_CALLS_MAX: usize = 8;
/// Longest arguments of a call of a tool in bytes. Beyond: answered as not run.
pub const TOOL_ARGUMENTS_BYTES_MAX: usize = 16 * 1024;
/// Most runs of tools under way at once. Beyond: a run waits for its turn.
pub const TOOL_RUNS_MAX: usize = 4;
/// Longest path that a tool takes, in bytes. Beyond: answered as not run.
pub const TOOL_PATH_BYTES_MAX: usize = 1024;
/// Longest URL that a tool takes, in bytes. Beyond: answered as not run.
pub const TOOL_URL_BYTES_MAX: usize = 2048;
/// Most words of a command that a tool starts. Beyond: answered as not run.
pub const COMMAND_WORDS_MAX: usize = 64;
/// Most entries of a folder that are listed, in the order of their names. Beyond: left out, and said so.
pub const LISTED_ENTRIES_MAX: usize = 500;
/// Largest file that a tool writes, in bytes, what it appends to included. Beyond: answered as not written.
pub const WRITTEN_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes that a command may write in a run; what does not fit its result is dropped. Beyond: it is killed.
pub const COMMAND_OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most events that a tool tells. Beyond: answered as not run.
pub const TOLD_EVENTS_MAX: usize = 50;
/// Most tools kept of one server of tools. Beyond: the rest is dropped.
pub const MCP_TOOLS_MAX: usize = 64;
/// Longest schema of a tool of such a server in bytes. Beyond: the tool is dropped.
pub const MCP_SCHEMA_BYTES_MAX: usize = 4 * 1024;
/// Most bytes of all that is kept of one such server's tools. Beyond: the rest is dropped.
pub const MCP_LISTED_BYTES_MAX: usize = 64 * 1024;
/// Longest description of a tool of such a server in bytes. Beyond: cut.
pub const MCP_ABOUT_BYTES_MAX: usize = 400;

/// How long stopping may take, in milliseconds. Beyond: the process ends without the peers' answers.
pub const STOP_TIME_MAX_MS: u64 = 1_800;

const _: () = assert!(ASKERS_MAX < EXCHANGES_MAX, "those who ask models must not hold every turn");
const _: () = assert!(HOOK_CALLS_MAX + 2 <= CALLS_MAX, "ALEX OS and AIWM need a place each");
const _: () = assert!(BODY_BYTES_MAX * 2 <= JOURNAL_BYTES_MAX, "two largest events must fit the journal");
const _: () = assert!(COMMIT_BATCH_RECORDS <= JOURNAL_WRITES_MAX);
const _: () =
    assert!(2 * CONNECTIONS_MAX <= JOURNAL_WRITES_MAX, "an event and its id of every connection must fit");
const _: () = assert!(TLS_CONNECTIONS_MAX <= CONNECTIONS_MAX);
const _: () = assert!(BODY_BYTES_MAX * 2 <= BODIES_BYTES_MAX, "loopback and one stranger need a body each");
const _: () =
    assert!(CONNECTIONS_PER_ADDRESS_MAX < FOREIGN_EXCHANGES_MAX, "one address must not hold every turn");
const _: () = assert!(FOREIGN_EXCHANGES_MAX < EXCHANGES_MAX && EXCHANGES_MAX <= CONNECTIONS_MAX);
const _: () = assert!(CONNECTIONS_PER_ADDRESS_MAX < CONNECTIONS_MAX);
const _: () =
    assert!(MESSAGE_BYTES_MAX * 3 <= SESSION_BYTES_MAX as usize, "a message, its calls and results must fit");
const _: () = assert!(TURNS_MAX <= SESSIONS_MAX && TURNS_MAX <= THOUGHTS_MAX);
const _: () = assert!(SESSION_BYTES_MAX * 2 <= CONVERSATIONS_BYTES_MAX, "two full conversations must fit");
