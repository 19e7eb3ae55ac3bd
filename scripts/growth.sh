#!/usr/bin/env bash
# Measures how this project does with more and more files, nodes, and chunks of a node, and says of each figure whether it grows no faster
# than n log n. Prints tables; the same goes to target/growth as JSON and Markdown, and to docs/growth.svg as a picture.
# Options: --files 10000,100000,1000000 (likewise --nodes and --chunks) for other sizes, and the picture to target/growth; --folder DIR for the
# disk, in place of target/growth; --help tells the others. A million files take 1 GB of disk and some minutes; the ten million that it ends
# with take 10 GB of disk, as much memory while they are stored, and half an hour. What it writes for that is removed.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
picture=docs/growth.svg
for argument in "$@"; do
    case $argument in
    # No run to be shown.
    --files* | --nodes* | --chunks*) picture=$target/growth/growth.svg ;;
    esac
done
mkdir -p "$target/growth"
cargo build --locked --release --quiet -p master -p storage-node -p bench
exec "$target/release/bench" --growth --folder "$target/growth" --json "$target/growth/growth.json" --picture "$picture" "$@"
