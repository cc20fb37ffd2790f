// The storage account: reports, outcomes, queues, and what Functions itself keeps. No shared key opens it.
import { roles } from 'roles.bicep'

param name string
param location string
param tags object
param appPrincipalId string
param identityName string
param consumersGroupId string
param retentionDays int
param versionDays int
param publicAccess bool

var attendance = 'attendance'
var queueNames = ['meeting-signals', 'meeting-signals-poison', 'upkeep', 'upkeep-poison']

resource account 'Microsoft.Storage/storageAccounts@2025-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: 'Standard_ZRS' }
  properties: {
    accessTier: 'Hot'
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    allowSharedKeyAccess: false
    defaultToOAuthAuthentication: true
    isHnsEnabled: false // versions need it off
    minimumTlsVersion: 'TLS1_2'
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    supportsHttpsTrafficOnly: true
    networkAcls: { bypass: 'AzureServices', defaultAction: publicAccess ? 'Allow' : 'Deny' }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-01-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: true
    deleteRetentionPolicy: { enabled: true, days: versionDays }
    containerDeleteRetentionPolicy: { enabled: true, days: versionDays }
  }
}

resource reports 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: attendance
}

resource state 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: '${attendance}-state'
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = {
  parent: blobs
  name: 'app-packages'
}

// Functions keeps timers' leases and function keys in these two.
resource hosts 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-01-01' = [
  for container in ['azure-webjobs-hosts', 'azure-webjobs-secrets']: {
    parent: blobs
    name: container
  }
]

resource queueService 'Microsoft.Storage/storageAccounts/queueServices@2025-01-01' = {
  parent: account
  name: 'default'
}

resource queues 'Microsoft.Storage/storageAccounts/queueServices/queues@2025-01-01' = [
  for queue in queueNames: {
    parent: queueService
    name: queue
  }
]

var ofVersions = {
  name: 'versions'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: { blobTypes: ['blockBlob'], prefixMatch: ['${attendance}/', '${attendance}-state/'] }
    actions: { version: { delete: { daysAfterCreationGreaterThan: versionDays } } }
  }
}
var ofReports = {
  name: 'reports'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: { blobTypes: ['blockBlob'], prefixMatch: ['${attendance}/'] }
    actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: retentionDays } } }
  }
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2025-01-01' = {
  parent: account
  name: 'default'
  properties: { policy: { rules: retentionDays > 0 ? [ofVersions, ofReports] : [ofVersions] } }
  dependsOn: [blobs]
}

// Storage Blob Data Contributor on the container: the app writes reports, outcomes, manifests and tables.
resource writesReports 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: reports
  name: guid(reports.id, identityName, roles.blobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Storage Blob Data Contributor on the container: where looks and watched meetings are remembered.
resource writesState 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: state
  name: guid(state.id, identityName, roles.blobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Storage Blob Data Contributor on the container: a deployment puts the app's package there, Functions starts from it.
resource keepsPackages 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: packages
  name: guid(packages.id, identityName, roles.blobDataContributor)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataContributor)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Storage Blob Data Owner on the containers of Functions itself: leases of the timers, function keys.
resource keepsHost 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for index in range(0, 2): {
    scope: hosts[index]
    name: guid(hosts[index].id, identityName, roles.blobDataOwner)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataOwner)
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
    }
  }
]

// Storage Queue Data Contributor on each queue: the app sends, handles and counts messages, Functions buries them.
resource usesQueues 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for index in range(0, 4): {
    scope: queues[index]
    name: guid(queues[index].id, identityName, roles.queueDataContributor)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.queueDataContributor)
      principalId: appPrincipalId
      principalType: 'ServicePrincipal'
    }
  }
]

// Storage Blob Data Reader on the container: consumers read the reports, and nothing else.
resource readReports 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(consumersGroupId)) {
  scope: reports
  name: guid(reports.id, consumersGroupId, roles.blobDataReader)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.blobDataReader)
    principalId: consumersGroupId
    principalType: 'Group'
  }
}

output id string = account.id
output name string = account.name
output packageContainer string = packages.name
