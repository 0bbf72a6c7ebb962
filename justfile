# Short names for ordinary commands; `just` lists them. `.ci/run` is the whole check.

default:
    @just --list

# The agent and stand-ins for its peers, told on the terminal
demo:
    cargo run --release --example demo

test:
    cargo test

lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings

# One world of the simulator with its trace: just sim 42
sim seed:
    SIM_SEED={{seed}} cargo test --release --test sim one_seed -- --nocapture

# Many worlds: just worlds 10000
worlds count="1000":
    SIM_SEEDS={{count}} cargo test --release --test sim

# The pages that tests compare with the source: API, configuration, limits
bless:
    BLESS=1 cargo test --lib config::
    BLESS=1 cargo test --lib api::
    BLESS=1 cargo test --test house

deny:
    cargo deny check licenses bans sources

# What a commit costs the flash, and what hostile clients cost
measure:
    cargo run --release --example ledger_bytes
    cargo run --release --example http_probes

# Memory, processor, wake-ups, flash, size, start, beside other daemons: just footprint --write --peers (35 minutes), or --short
footprint *arguments:
    benches/footprint {{arguments}}

ci:
    .ci/run

# Machines in QEMU: power cuts, memory, systemd, OpenRC. Builds the programs first; half an hour
boot:
    cross/install --all
    cross/build armv7-unknown-linux-musleabihf aarch64-unknown-linux-musl
    packaging/deb/build aarch64-unknown-linux-musl
    tests/boot/power armv7 10
    tests/boot/power aarch64 10
    tests/boot/memory armv7 aarch64
    tests/boot/systemd aarch64
    tests/boot/openrc aarch64

# Everything that is published, twice, and the same bytes both times
release:
    cross/install --all
    cross/release --twice

# What docs/reliability.md says, measured again: just reliability --short
reliability *arguments:
    tests/reliability/run {{arguments}}

# Days of work in an hour: a million webhooks, a million events, hostile requests among them
soak:
    tests/reliability/run soak

# What docs/throughput.md says, measured again: just throughput --short
throughput *arguments:
    benches/throughput {{arguments}}
