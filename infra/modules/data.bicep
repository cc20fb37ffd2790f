// The data account: reports, outcomes, manifests and tables, with earlier versions. Shared keys are disabled.
import { roles } from 'roles.bicep'

param name string
param location string
param tags object
param redundancy string
param appPrincipalId string
param identityName string
param consumersGroupId string
param retentionDays int
param versionDays int
param publicAccess bool

@description('Whether every read, write and delete is logged in the workspace.')
param audited bool
param workspaceId string

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: redundancy }
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

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    isVersioningEnabled: true
    deleteRetentionPolicy: { enabled: true, days: versionDays }
    containerDeleteRetentionPolicy: { enabled: true, days: versionDays }
  }
}

resource reports 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: 'attendance'
}

var ofVersions = {
  name: 'versions'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: { blobTypes: ['blockBlob'], prefixMatch: ['attendance/'] }
    actions: { version: { delete: { daysAfterCreationGreaterThan: versionDays } } }
  }
}
// Not the Delta logs, `tables/<table>/_delta_log/`: each of their entries is needed until there is a checkpoint.
// The app removes old days and old entries from them, and they name nobody.
var tables = ['meetings', 'attendees', 'engagements', 'invitees']
var ofReports = {
  name: 'reports'
  enabled: true
  type: 'Lifecycle'
  definition: {
    filters: {
      blobTypes: ['blockBlob']
      prefixMatch: concat(
        map(['reports', 'invitees', 'outcomes', 'manifests', 'exports'], folder => 'attendance/${folder}/'),
        map(tables, table => 'attendance/tables/${table}/date=')
      )
    }
    actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: retentionDays } } }
  }
}

resource lifecycle 'Microsoft.Storage/storageAccounts/managementPolicies@2024-01-01' = {
  parent: account
  name: 'default'
  properties: { policy: { rules: retentionDays > 0 ? [ofVersions, ofReports] : [ofVersions] } }
  dependsOn: [blobs]
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (audited) {
  scope: blobs
  name: 'audit'
  properties: {
    workspaceId: workspaceId
    logs: [
      { category: 'StorageRead', enabled: true }
      { category: 'StorageWrite', enabled: true }
      { category: 'StorageDelete', enabled: true }
    ]
  }
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

// Storage Blob Data Reader on the container: consumers read the archive.
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
output blobEndpoint string = account.properties.primaryEndpoints.blob
