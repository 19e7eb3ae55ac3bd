#!/usr/bin/env bash
# Measures this project alone beside what its disk can do; scripts/bench.sh does so beside its peers, and its options are those of this.
# --repair CHUNKS: in place of all else, how fast the copies of so many MiB are made again; 3 times as much is written.
# --repair-files FILES: so many files of 4 KiB beside them.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --locked --release --quiet -p master -p storage-node -p web -p bench
exec "${CARGO_TARGET_DIR:-target}/release/bench" --only dfs "$@"
