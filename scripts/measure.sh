#!/usr/bin/env bash
# Measures a whole cluster on this machine beside what its disk can do, and prints a table. Nothing else should run meanwhile.
# Options: --folder DIR (on the disk to be measured), --big MB (the big file), --huge MB (a huge one too: 3 times its size is written),
# --repair CHUNKS (in place of all else, how fast the copies of so many MiB are made again; 3 times as much is written).
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo run --locked --release --quiet --package tests --example measure -- "$@"
