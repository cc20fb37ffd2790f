// The whole system in one resource group: az deployment sub create --location … --template-file infra/main.bicep …
targetScope = 'subscription'

@description('Name of this deployment, in names and tags: lower-case letters, digits and hyphens.')
@minLength(2)
@maxLength(20)
param environmentName string

@description('Azure region of everything.')
param location string

@description('Resource group that is made for it.')
param resourceGroupName string = 'rg-${environmentName}'

@description('Where the news of an ended meeting comes from.')
param signals ('call-records' | 'virtual-events' | 'call-events')[] = ['call-records']

@description('The national cloud of the tenant\'s Microsoft Graph.')
@allowed(['global', 'usgov', 'usgovdod'])
param graphCloud string = 'global'

@description('Object ids of organizers for a pilot; empty: everyone.')
param organizers string[] = []

@description('Client id of an app registration that trusts the identity, used for Graph in its place; empty: the identity.')
param graphClientId string = ''

@description('Days for which reports, outcomes and tables are kept; 0: for ever.')
@minValue(0)
@maxValue(36500)
param retentionDays int = 0

@description('Days for which earlier versions of a blob, and deleted ones, are kept.')
@minValue(1)
@maxValue(365)
param versionDays int = 30

@description('Object id of the Microsoft Entra group that may read the reports; empty: nobody but the app.')
param consumersGroupId string = ''

@description('E-mail address that alerts go to; empty: alerts are raised and sent to nobody.')
param alertEmail string = ''

@description('Memory of one instance, in MB.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 2048

@description('Most instances of one function.')
@minValue(40)
@maxValue(1000)
param maximumInstances int = 40

@description('Instances that always wait for notifications; 0 saves money and risks slow answers to Graph.')
@minValue(0)
@maxValue(5)
param alwaysReadyInstances int = 1

@description('Requests per second that all instances together may send to Graph.')
@minValue(1)
param graphRequestsPerSecond int = 75

@description('Whether storage and Key Vault are reached through private endpoints alone.')
param privateNetwork bool = false

@description('Address ranges (CIDR) that may call the app; empty: all. Risk: Graph\'s own ranges change without notice.')
param allowedAddresses string[] = []

@description('Whether an Event Grid topic tells consumers of new blobs.')
param blobEvents bool = false

@description('Tags of every resource.')
param tags object = {}

var allTags = union(tags, { 'azd-env-name': environmentName, application: 'teams-attendance-reports' })
var token = toLower(uniqueString(subscription().id, environmentName, location))
var identityName = 'id-${environmentName}'
var storageName = 'st${token}'
var callEvents = contains(signals, 'call-events')

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: resourceGroupName
  location: location
  tags: allTags
}

module identity 'modules/identity.bicep' = {
  scope: group
  params: { name: identityName, location: location, tags: allTags }
}

module monitoring 'modules/monitoring.bicep' = {
  scope: group
  params: {
    name: environmentName
    location: location
    tags: allTags
    appPrincipalId: identity.outputs.principalId
    identityName: identityName
    alertEmail: alertEmail
  }
}

module storage 'modules/storage.bicep' = {
  scope: group
  params: {
    name: storageName
    location: location
    tags: allTags
    appPrincipalId: identity.outputs.principalId
    identityName: identityName
    consumersGroupId: consumersGroupId
    retentionDays: retentionDays
    versionDays: versionDays
    publicAccess: !privateNetwork
  }
}

module vault 'modules/vault.bicep' = {
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: allTags
    appPrincipalId: identity.outputs.principalId
    identityName: identityName
    callEvents: callEvents
    publicAccess: !privateNetwork
  }
}

module network 'modules/network.bicep' = if (privateNetwork) {
  scope: group
  params: {
    name: environmentName
    location: location
    tags: allTags
    storageId: storage.outputs.id
    vaultId: vault.outputs.id
  }
}

module app 'modules/app.bicep' = {
  scope: group
  params: {
    name: 'func-${environmentName}-${take(token, 6)}'
    location: location
    tags: allTags
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storageName
    packageContainer: storage.outputs.packageContainer
    insightsConnection: monitoring.outputs.connectionString
    clientStateUri: vault.outputs.clientStateUri
    encryptionKeyId: vault.outputs.encryptionKeyId
    signals: signals
    graphCloud: graphCloud
    graphClientId: graphClientId
    organizers: organizers
    instanceMemoryMB: instanceMemoryMB
    maximumInstances: maximumInstances
    alwaysReadyInstances: alwaysReadyInstances
    graphRequestsPerSecond: graphRequestsPerSecond
    allowedAddresses: allowedAddresses
    subnetId: privateNetwork ? network!.outputs.appSubnetId : ''
  }
}

module alerts 'modules/alerts.bicep' = {
  scope: group
  params: {
    name: environmentName
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
    actionGroupId: monitoring.outputs.actionGroupId
  }
}

module workbook 'modules/workbook.bicep' = {
  scope: group
  params: {
    name: environmentName
    location: location
    tags: allTags
    workspaceId: monitoring.outputs.workspaceId
  }
}

module events 'modules/events.bicep' = if (blobEvents) {
  scope: group
  params: { name: 'evgt-${environmentName}', location: location, tags: allTags, storageId: storage.outputs.id }
}

output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_APP_NAME string = app.outputs.name
output NOTIFICATION_BASE_URL string = app.outputs.baseUrl
output IDENTITY_CLIENT_ID string = identity.outputs.clientId
output IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output STORAGE_ACCOUNT string = storage.outputs.name
