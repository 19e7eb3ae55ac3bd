#!/usr/bin/env bash
# Tests the API's description, crates/web/src/openapi.json, against a cluster of real processes: schemathesis sends what the
# description allows and what it forbids, alone and in sequences, and each answer has to be one that it tells of.
# Needs Python 3.10 with venv, and pip's registry the first time; without them it says so and leaves it out.
# Arguments go to schemathesis, for example: scripts/api.sh --max-examples 300 --seed 7
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/api/venv
requirements=scripts/api/requirements.txt
run=

skip() {
    echo "SKIPPED: the API's description against a cluster: $*"
    exit 0
}

stop() {
    if [ -n "$run" ]; then
        kill -INT "$cluster" 2>/dev/null || true
        wait "$cluster" 2>/dev/null || true
        rm -rf "$run"
    fi
}
trap stop EXIT

if ! cmp -s "$requirements" "$venv/installed"; then
    python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 10))' 2>/dev/null ||
        skip "Python 3.10 with venv is not here"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" ||
        skip "pip could not install $requirements"
    cp "$requirements" "$venv/installed"
fi

# As the tests build them (see check.sh), so that nothing is built twice.
cargo build --locked --quiet --workspace --bins --examples
run=$(mktemp -d)
# Interrupts reach what a script has started only with job control.
set -m
"$target/debug/dfs" up --data "$run/data" --master-port 0 --node-port 0 --web-port 0 >"$run/log" 2>&1 &
cluster=$!
set +m
deadline=$((SECONDS + 60))
until url=$(grep -o -m 1 'open http://[^ ]*' "$run/log"); do
    if [ "$SECONDS" -gt "$deadline" ] || ! kill -0 "$cluster" 2>/dev/null; then
        echo "the cluster did not start:" >&2
        cat "$run/log" >&2
        exit 1
    fi
    sleep 0.2
done

"$venv/bin/schemathesis" --config-file scripts/api/schemathesis.toml run crates/web/src/openapi.json \
    --url "${url#open }" --seed 1 --max-examples 12 --continue-on-failure --no-color "$@" || {
    status=$?
    grep -E ' (WARN|ERROR) ' "$run/log" | tail -20 >&2 || true
    exit "$status"
}
