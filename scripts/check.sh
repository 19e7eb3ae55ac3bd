#!/usr/bin/env bash
# Everything that must hold of a change: formatting, lints, documentation, tests, and a short proof: planted bugs that have
# to be found, processes that are killed at named points, simulated clusters that are harmed. CI runs just this, by scripts/test.sh.
# Ends with the sum of the tests' own counts. Needs the Rust toolchain and nothing else; with
# Python, the API's description is tested too, and with valgrind the instructions of hot paths are counted.
set -euo pipefail
cd "$(dirname "$0")/.."

counts=$(mktemp)
trap 'rm -f "$counts"' EXIT

step() { printf '\n== %s\n' "$*"; "$@"; }
count() { step "$@" 2>&1 | tee -a "$counts"; }

# Locks are the scheduler's with these.
races=threads/races,master/races,storage-node/races

# Each step selects the whole workspace and something that needs what tests need: cargo chooses features by what is selected, and
# builds every dependency once more for another choice.
step cargo fmt --all --check
step cargo clippy --locked --workspace --all-targets -- -D warnings
step cargo clippy --locked --workspace --features "$races" --lib --profile test -- -D warnings
# Private items are documented too, so that links to them lead somewhere.
RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" step cargo doc --locked --workspace --no-deps --document-private-items
count cargo test --locked --workspace --doc
count cargo test --locked --workspace --all-targets
count cargo test --locked --workspace --features "$races" --lib races::
# The API as it is described, against a cluster.
step scripts/api.sh
# Hot paths take no more instructions than they did.
step scripts/instructions.sh
step cargo run --locked --quiet --package prove -- --quick

awk '/^test result:/ { runs += 1; passed += $4; failed += $6; ignored += $8 }
     END { printf "\ntest result, all %d runs: %d passed; %d failed; %d ignored\n", runs, passed, failed, ignored
           exit failed > 0 || passed == 0 }' "$counts"
