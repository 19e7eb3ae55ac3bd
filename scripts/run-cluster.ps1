# Builds the release binaries and starts a cluster on this machine: a master, three storage nodes and the page.
# Arguments go to `dfs up`: --help tells them. Ctrl-C stops all. Windows runs no scripts until it is told to:
# powershell -ExecutionPolicy Bypass -File scripts\run-cluster.ps1
$ErrorActionPreference = 'Stop'
$root = Split-Path $PSScriptRoot
$target = if ($env:CARGO_TARGET_DIR) { $env:CARGO_TARGET_DIR } else { Join-Path $root 'target' }

cargo build --locked --release --manifest-path (Join-Path $root 'Cargo.toml') `
    --package master --package storage-node --package web --package cli
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
& (Join-Path $target 'release/dfs') up @args
exit $LASTEXITCODE
