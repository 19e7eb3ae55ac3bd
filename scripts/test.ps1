# Runs every test there is, as scripts/test.sh does: powershell -ExecutionPolicy Bypass -File scripts\test.ps1
# Needs the Rust toolchain; with chromedriver on the path it tries the page in a browser too.
$ErrorActionPreference = 'Stop'

if (-not (Get-Command cargo -ErrorAction SilentlyContinue)) {
    Write-Error 'cargo is not here: install the Rust toolchain from https://rustup.rs, then run this again'
}

$script:lines = @()
function Step([string[]] $Arguments) {
    Write-Output "`n== cargo $Arguments"
    # What cargo writes to standard error is no failure; its exit code tells. It goes to the console by itself: Windows
    # PowerShell would make errors of it, and a name of a class of each empty line. The counts are on standard output.
    $ErrorActionPreference = 'Continue'
    & cargo @Arguments | Tee-Object -Variable output
    if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }
    $script:lines += $output
}

# The caller's session is left as it was.
$before = @{ DFS_TEST_BROWSER = $env:DFS_TEST_BROWSER; RUSTDOCFLAGS = $env:RUSTDOCFLAGS }
Push-Location (Join-Path $PSScriptRoot '..')
try {
    if (Get-Command chromedriver -ErrorAction SilentlyContinue) {
        # Then a browser that does not start is a failure.
        $env:DFS_TEST_BROWSER = 'required'
    } else {
        Write-Output 'SKIPPED: the tests in a browser: chromedriver is not on the path'
    }
    Step @('fmt', '--all', '--check')
    Step @('clippy', '--locked', '--workspace', '--all-targets', '--', '-D', 'warnings')
    # Private items are documented too, so that links to them lead somewhere.
    $env:RUSTDOCFLAGS = '-D warnings -A rustdoc::private_intra_doc_links'
    Step @('doc', '--locked', '--workspace', '--no-deps', '--document-private-items')
    $env:RUSTDOCFLAGS = $before.RUSTDOCFLAGS
    Step @('test', '--locked', '--workspace', '--doc')
    Step @('test', '--locked', '--workspace', '--exclude', 'tests', '--all-targets')
    # Built apart: locks are the scheduler's there.
    Step @('test', '--locked', '--package', 'master', '--package', 'storage-node', '--features', 'races', '--lib', 'races::')
    Step @('test', '--locked', '--package', 'tests')
    Step @('run', '--locked', '--quiet', '--package', 'prove', '--', '--quick')
} finally {
    # Also on an exit in the middle. What is set to nothing is removed.
    $env:DFS_TEST_BROWSER = $before.DFS_TEST_BROWSER
    $env:RUSTDOCFLAGS = $before.RUSTDOCFLAGS
    Pop-Location
}

$sums = @{ runs = 0; passed = 0; failed = 0; ignored = 0 }
foreach ($line in $script:lines) {
    if ($line -match '^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored') {
        $sums.runs += 1
        $sums.passed += [int] $Matches[1]
        $sums.failed += [int] $Matches[2]
        $sums.ignored += [int] $Matches[3]
    }
}
Write-Output "`ntest result, all $($sums.runs) runs: $($sums.passed) passed; $($sums.failed) failed; $($sums.ignored) ignored"
exit [int] ($sums.failed -gt 0 -or $sums.passed -eq 0)
