// Everything enabled: all signals, an event hub beside the webhook, a private network, consumers, an address list, audit logs, events of new blobs.
using '../main.bicep'

param environmentName = 'attendance'
param location = 'westeurope'
param signals = ['call-records', 'virtual-events', 'call-events']
param delivery = 'event-hubs'
param formerDelivery = 'webhook'
param changeTrackingPrincipalId = '7e000000-0000-4000-8000-000000000003'
param graphClientId = '5c000000-0000-4000-8000-000000000001'
param retentionDays = 365
param storageRedundancy = 'Standard_GZRS'
param consumersGroupId = '6d000000-0000-4000-8000-000000000002'
param alertEmail = 'operators@contoso.example'
param logDailyCapGB = 10
param diagnostics = ['reports', 'vault']
param instanceMemoryMB = 2048
param maximumInstances = 100
param alwaysReadyInstances = 2
param graphRequestsPerSecond = 300
param privateNetwork = true
param networkAddressSpace = '10.20.0.0/24'
param allowedAddresses = ['20.20.32.0/19']
param restrictScm = true
param blobEvents = true
param extraAppSettings = { NOTIFICATION_MAX_BYTES: '262144' }
