#!/usr/bin/env bash
# Runs every test there is. In a fresh clone it needs the Rust toolchain; the rest it installs, or says what it leaves out.
set -euo pipefail
cd "$(dirname "$0")/.."

# The tests in a browser drive Chromium through its WebDriver.
has_browser() { command -v chromedriver >/dev/null 2>&1; }

# What it is asked for, where there is apt-get and the right to use it.
install() {
    command -v apt-get >/dev/null 2>&1 || return 1
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive timeout 300 sh -c \
        'apt-get -qq update && apt-get -qq install -y --no-install-recommends "$@"' sh "$@" >/dev/null 2>&1
}

# Real processes are harmed with these; where one is not, what needs it is left out, with a line that says so.
missing_tools() {
    command -v strace >/dev/null 2>&1 || echo strace
    command -v mkfs.xfs >/dev/null 2>&1 || echo xfsprogs
    command -v mkfs.ext4 >/dev/null 2>&1 || echo e2fsprogs
    command -v faketime >/dev/null 2>&1 || echo faketime
    command -v iptables >/dev/null 2>&1 || echo iptables
    command -v ip >/dev/null 2>&1 || echo iproute2
}

if ! command -v cargo >/dev/null 2>&1; then
    echo "cargo is not here: install the Rust toolchain from https://rustup.rs, then run this again" >&2
    exit 1
fi
if ! has_browser; then
    echo "installing chromium and chromium-driver for the tests in a browser"
    install chromium chromium-driver || echo "SKIPPED: the tests in a browser: chromedriver is not here and could not be installed by apt-get"
fi
if has_browser; then
    # Then a browser that does not start is a failure.
    export DFS_TEST_BROWSER=required
fi
if [ "$(uname)" = Linux ] && [ -n "$(missing_tools)" ]; then
    echo "installing $(missing_tools | tr '\n' ' ')for harm to real processes"
    # shellcheck disable=SC2046
    install $(missing_tools) || echo "SKIPPED: a part of the harm to real processes: not all of it could be installed by apt-get"
fi
if ! python3 -c 'import venv, ensurepip' >/dev/null 2>&1; then
    echo "installing python3-venv to test the API's description"
    # What is left out without it, scripts/api.sh says.
    install python3 python3-venv || true
fi
if [ "$(uname)" = Linux ] && ! command -v valgrind >/dev/null 2>&1; then
    echo "installing valgrind to count the instructions of hot paths"
    # What is left out without it, scripts/instructions.sh says.
    install valgrind || true
fi
exec scripts/check.sh
