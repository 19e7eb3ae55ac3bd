#!/usr/bin/env bash
# Builds the release binaries and starts a cluster on this machine: a master, three storage nodes and the page.
# Arguments go to `dfs up`: scripts/run-cluster.sh --help tells them. Ctrl-C stops all.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}

cargo build --locked --release --manifest-path "$root/Cargo.toml" \
    --package master --package storage-node --package web --package cli
exec "$target/release/dfs" up "$@"
