# Climbs the ladder of proof, as scripts/prove.sh does: powershell -ExecutionPolicy Bypass -File scripts\prove.ps1 --minutes 60
$ErrorActionPreference = 'Stop'
$root = Split-Path $PSScriptRoot

cargo run --locked --profile proof --quiet --manifest-path (Join-Path $root 'Cargo.toml') --package prove '--' @args
exit $LASTEXITCODE
