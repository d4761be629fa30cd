# Build the image, start the server, migrate its database, and wait until it is ready.
#
# On Windows Docker runs in a virtual machine, and SQLite's locks don't cross from there to the
# host: so the migrations run in the container.
[CmdletBinding()]
param(
    [switch]$NoDocker,    # a local process in place of the container
    [switch]$MigrateOnly, # set this machine up and migrate, and start nothing
    [switch]$Down         # stop what was started
)
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot
$port = if ($env:PORT) { $env:PORT } else { '3000' }
$env:PORT = $port
$database = Join-Path $PSScriptRoot 'data/meetings.sqlite'
$pidFile = Join-Path $PSScriptRoot 'data/server.pid'
$bin = if ($IsLinux -or $IsMacOS) { 'bin' } else { 'Scripts' }
$python = Join-Path $PSScriptRoot ".venv/$bin/python"

function Stop-With([string]$text, [int]$status = 2) {
    [Console]::Error.WriteLine("build-and-start.ps1: $text")
    exit $status
}

function Assert-Docker {
    if (-not (Get-Command docker -ErrorAction SilentlyContinue)) {
        Stop-With 'docker is missing; install it, or use -NoDocker'
    }
    docker info *> $null
    if ($LASTEXITCODE) { Stop-With 'no Docker engine answers; start it, or use -NoDocker' }
    docker compose version *> $null
    if ($LASTEXITCODE) { Stop-With 'docker compose is missing; install Compose v2' }
}

function Install-Here([string]$extra) {
    $found = @('python3', 'python' | Where-Object { Get-Command $_ -ErrorAction SilentlyContinue })
    if (-not $found) { Stop-With 'Python is missing; install Python 3.10 or newer' }
    if (-not (Test-Path $python)) { & $found[0] -m venv .venv }
    Write-Output 'setting up .venv'
    & $python -m pip install --quiet --disable-pip-version-check --editable ".$extra"
    if ($LASTEXITCODE) { Stop-With 'pip could not install what is needed' }
}

function Invoke-Migrations([switch]$InContainer) {
    Write-Output 'migrating'
    if ($InContainer) {
        docker compose exec -T server python migrations/migrate.py
    } else {
        & $python server/migrations/migrate.py --database $database
    }
    if ($LASTEXITCODE) { Stop-With 'the migrations failed; the server is not ready' $LASTEXITCODE }
}

function Wait-Ready([string]$log) {
    foreach ($try in 1..120) {
        if ($NoDocker -and -not (Get-Local)) { Stop-With "the server ended; see: $log" }
        try {
            Invoke-WebRequest -UseBasicParsing -TimeoutSec 2 "http://127.0.0.1:$port/readyz" > $null
            Write-Output "ready at http://127.0.0.1:$port"
            return
        } catch { Start-Sleep -Milliseconds 500 }
    }
    Stop-With "the server is not ready; see: $log"
}

# By now, the number in the file may be another process's.
function Get-Local {
    if (Test-Path $pidFile) {
        Get-Process -Id (Get-Content $pidFile) -ErrorAction SilentlyContinue |
            Where-Object { $_.CommandLine -match '-m server' }
    }
}

New-Item -ItemType Directory -Force data > $null
if ($Down) {
    Get-Local | Stop-Process
    Remove-Item -Force -ErrorAction SilentlyContinue $pidFile
    if (Get-Command docker -ErrorAction SilentlyContinue) { docker compose down }
} elseif ($MigrateOnly) {
    Install-Here
    Invoke-Migrations
} elseif ($NoDocker) {
    if (-not ($IsLinux -or $IsMacOS)) { Stop-With '-NoDocker needs Linux or macOS; use WSL' }
    Install-Here '[server]'
    if (-not (Get-Local)) {
        $env:DB_PATH = $database
        Remove-Item -ErrorAction SilentlyContinue Env:DATABASE_URL # it would go before DB_PATH
        $started = Start-Process $python -ArgumentList '-m', 'server' -PassThru `
            -RedirectStandardError data/server.log -RedirectStandardOutput data/server.out
        Set-Content $pidFile $started.Id
    }
    Invoke-Migrations
    Wait-Ready 'data/server.log'
} else {
    Assert-Docker
    docker compose up -d --build
    if ($LASTEXITCODE) { Stop-With 'docker compose could not start the server' }
    Invoke-Migrations -InContainer
    Wait-Ready 'docker compose logs server'
}
