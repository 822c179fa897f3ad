# Records what one command and its children do on Windows, for `agentsight replay`. As Administrator:
#
#   .\agentsight-etw.ps1 -Output trace.xml -Command claude.exe -Arguments '-p "Fix the test"'
#
# Two sessions: the NT Kernel Logger has processes with their command lines and TCP, the provider
# Microsoft-Windows-Kernel-File has files with their results. tracerpt puts both into one XML in the
# order of time. What all processes of the machine do is in it, so keep it to yourself; `replay`
# takes the session of the process whose id is printed at the end.

param(
    [Parameter(Mandatory = $true)][string]$Output,
    [Parameter(Mandatory = $true)][string]$Command,
    [string]$Arguments = ""
)
$ErrorActionPreference = "Stop"

$folder = Join-Path ([System.IO.Path]::GetTempPath()) ("agentsight-" + [guid]::NewGuid())
New-Item -ItemType Directory -Path $folder | Out-Null
$kernel = Join-Path $folder "kernel.etl"
$files = Join-Path $folder "files.etl"
# FILEIO, OP_END, CREATE, READ, WRITE, DELETE_PATH, RENAME_SETLINK_PATH, CREATE_NEW_FILE
$keywords = "0x1FE0"

function Invoke-Tool {
    param([string]$Tool, [string[]]$Options)
    & $Tool @Options | Out-Null
    if ($LASTEXITCODE -ne 0) { throw "$Tool $($Options -join ' ') failed: $LASTEXITCODE" }
}

Invoke-Tool logman @("start", "NT Kernel Logger", "-p", "Windows Kernel Trace", "(process,net)",
    "-o", $kernel, "-bs", "1024", "-nb", "64", "256", "-ets")
try {
    Invoke-Tool logman @("start", "AgentSightFiles", "-p", "Microsoft-Windows-Kernel-File",
        $keywords, "-o", $files, "-bs", "1024", "-nb", "64", "256", "-ets")
    try {
        $start = @{ FilePath = $Command; NoNewWindow = $true; PassThru = $true; Wait = $true }
        if ($Arguments) { $start.ArgumentList = $Arguments }
        $process = Start-Process @start
    }
    finally { Invoke-Tool logman @("stop", "AgentSightFiles", "-ets") }
}
finally { Invoke-Tool logman @("stop", "NT Kernel Logger", "-ets") }

Invoke-Tool tracerpt @($kernel, $files, "-o", $Output, "-of", "XML", "-y")
Remove-Item -Recurse $folder
Write-Output "agentsight replay --root $($process.Id) $Output"
exit $process.ExitCode
