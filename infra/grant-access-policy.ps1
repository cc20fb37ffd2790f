<#
.SYNOPSIS
Lets the app read the attendance reports of organizers: a Teams application access policy.
.DESCRIPTION
Needs the module MicrosoftTeams and a Teams administrator. A user has one policy at a time: name all apps in one.
It takes effect within 30 minutes, sometimes later. China and other national clouds have no attendance reports.
.PARAMETER ClientId
Client id of the identity (IDENTITY_CLIENT_ID of main.bicep), or of the app registration in GRAPH_CLIENT_ID.
.PARAMETER Organizer
Object id of one organizer, for a pilot. Without it and without GroupId the policy applies to everyone.
.PARAMETER GroupId
Object id of a group of organizers.
.PARAMETER Cloud
The template's graphCloud: global, usgov (GCC High) or usgovdod.
.EXAMPLE
./infra/grant-access-policy.ps1 -ClientId 11111111-2222-3333-4444-555555555555
.EXAMPLE
./infra/grant-access-policy.ps1 -ClientId 11111111-2222-3333-4444-555555555555 -Cloud usgov
#>
param(
    [Parameter(Mandatory)] [guid] $ClientId,
    [guid] $Organizer,
    [guid] $GroupId,
    [string] $Name = 'AttendanceReports',
    [ValidateSet('global', 'usgov', 'usgovdod')] [string] $Cloud = 'global'
)
$ErrorActionPreference = 'Stop'

$one = $PSBoundParameters.ContainsKey('Organizer')
$several = $PSBoundParameters.ContainsKey('GroupId')
if ($one -and $several) { throw 'Give -Organizer or -GroupId, not both.' }

$environment = switch ($Cloud) {
    'global' { @{} }
    'usgov' { @{ TeamsEnvironmentName = 'TeamsGCCH' } }
    'usgovdod' { @{ TeamsEnvironmentName = 'TeamsDOD' } }
}
Connect-MicrosoftTeams @environment | Out-Null

$policy = Get-CsApplicationAccessPolicy | Where-Object { $_.Identity -eq "Tag:$Name" }
if (-not $policy) {
    New-CsApplicationAccessPolicy -Identity $Name -AppIds $ClientId -Description 'Attendance reports to Blob storage'
}
elseif ($policy.AppIds -notcontains $ClientId.ToString()) {
    Set-CsApplicationAccessPolicy -Identity $Name -AppIds @{ Add = $ClientId }
}

if ($one) { Grant-CsApplicationAccessPolicy -PolicyName $Name -Identity $Organizer }
elseif ($several) { Grant-CsApplicationAccessPolicy -PolicyName $Name -Group $GroupId }
else { Grant-CsApplicationAccessPolicy -PolicyName $Name -Global }
