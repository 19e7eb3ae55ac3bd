#!/usr/bin/env bash
# Measures the page in Chromium, with programs as they are released: first paint, weight, many small files, one of 5 GB (which takes 25 GB
# of disk where temporary files go). Nothing else should run meanwhile. An argument chooses some of them: scripts/page.sh weight
set -euo pipefail
cd "$(dirname "$0")/.."
export DFS_TEST_BROWSER=required
exec cargo test --locked --release --workspace --test cluster -- --ignored --nocapture --test-threads 1 "figures::${1:-}"
