// A pilot: one organizer, data deleted after 90 days, and a vault name that is free again after 7.
using '../main.bicep'

param environmentName = 'attendance-pilot'
param location = 'westeurope'
param organizers = ['8b081ef6-4792-4def-b2c9-c363a1bf41d5']
param retentionDays = 90
param versionDays = 7
param alertEmail = 'operators@contoso.example'
param vaultRetentionDays = 7
