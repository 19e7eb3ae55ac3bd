#!/usr/bin/env bash
# Climbs the ladder of proof for a given time and prints the table of docs/RELIABILITY.md. Options: --minutes N (60 if not said),
# --only tests,bugs,points,simulation,chaos; --help tells the others. Real power cuts take Linux and root; what cannot be done is said.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo run --locked --profile proof --quiet --package prove -- "$@"
