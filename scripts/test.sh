#!/usr/bin/env bash
# Runs every test there is. In a fresh clone it needs the Rust toolchain; the rest it installs, or says what it leaves out.
set -euo pipefail
cd "$(dirname "$0")/.."

has_browser() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
} >/dev/null 2>&1

install_browser() {
    command -v apt-get >/dev/null 2>&1 || return 1
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive timeout 300 sh -c \
        'apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium' >/dev/null 2>&1
}

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is not here: install the Rust toolchain from https://rustup.rs, then run this again" >&2
    exit 1
fi
if ! has_browser; then
    echo "installing chromium for the tests in a browser"
    install_browser || echo "SKIPPED: the tests in a browser: chromium is not here and could not be installed by apt-get"
fi
exec scripts/check.sh
