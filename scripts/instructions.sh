#!/usr/bin/env bash
# Counts the instructions that hot paths take, and compares them with crates/instructions/counts.json; a part of scripts/check.sh.
# Options: --update keeps what is counted now; --only TEXT counts some; --help tells them. Without valgrind it says so and leaves it out.
set -euo pipefail
cd "$(dirname "$0")/.."

# As the tests build them (see check.sh), so that nothing is built twice.
cargo build --locked --quiet --workspace --bins --examples
exec "${CARGO_TARGET_DIR:-target}/debug/instructions" "$@"
