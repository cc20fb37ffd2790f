// Every switch on: all signals, a private network, consumers, an address list, events of new blobs.
using '../main.bicep'

param environmentName = 'attendance'
param location = 'westeurope'
param signals = ['call-records', 'virtual-events', 'call-events']
param graphClientId = '5c000000-0000-4000-8000-000000000001'
param retentionDays = 365
param consumersGroupId = '6d000000-0000-4000-8000-000000000002'
param alertEmail = 'operators@contoso.example'
param instanceMemoryMB = 512
param maximumInstances = 100
param alwaysReadyInstances = 2
param privateNetwork = true
param allowedAddresses = ['20.20.32.0/19']
param blobEvents = true
