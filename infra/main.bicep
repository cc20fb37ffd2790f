// The whole system in one resource group: az deployment sub create --location … --template-file infra/main.bicep …
// US Government: Flex Consumption was not offered there in 2026. Check: az functionapp list-flexconsumption-locations
targetScope = 'subscription'

import { network } from 'modules/types.bicep'

@description('Name of this deployment, in names and tags: lower-case letters, digits and hyphens.')
@minLength(2)
@maxLength(20)
param environmentName string

@description('Azure region of everything: one with Flex Consumption (az functionapp list-flexconsumption-locations).')
param location string

@description('Resource group to create.')
param resourceGroupName string = 'rg-${environmentName}'

@description('Notification sources to subscribe to.')
param signals ('call-records' | 'virtual-events' | 'call-events')[] = ['call-records']

@description('How Graph delivers. webhook: to a public address. event-hubs: to an event hub, so that no address is public; needs changeTrackingPrincipalId. event-grid: call records only, through a partner topic; infra/connect-event-grid.sh completes it.')
param delivery ('webhook' | 'event-hubs' | 'event-grid') = 'webhook'

@description('For a day after delivery was changed: the former way, which is then still received.')
param formerDelivery ('' | 'webhook' | 'event-hubs' | 'event-grid') = ''

@description('With event-hubs: object id of the tenant\'s service principal of Microsoft Graph Change Tracking (app 0bf30f3b-4a52-48df-9a82-234910c4a086), which alone may send.')
param changeTrackingPrincipalId string = ''

@description('The national cloud of the tenant\'s Microsoft Graph: usgov is L4 (GCC High), usgovdod L5. China (21Vianet) and other national clouds are refused: their Graph has no attendance reports, or no call records.')
@allowed(['global', 'usgov', 'usgovdod'])
param graphCloud string = 'global'

@description('Object ids of organizers for a pilot; empty: everyone.')
param organizers string[] = []

@description('Client id of an app registration that trusts the identity and is used for Graph instead; empty: the identity.')
param graphClientId string = ''

@description('Days for which reports, outcomes and tables are kept: 31 or more, because the sweep scans 30 days; 0: for ever. Deleted data is kept for versionDays more.')
@minValue(0)
@maxValue(36500)
param retentionDays int = 0

@description('Days for which earlier versions of a report or table, and deleted ones, are kept.')
@minValue(1)
@maxValue(365)
param versionDays int = 30

@description('Redundancy of both storage accounts. West US, North Central US, UK West, US Gov Arizona and US Gov Texas lack Standard_ZRS: use Standard_GRS or Standard_LRS there.')
@allowed(['Standard_ZRS', 'Standard_GZRS', 'Standard_RAGZRS', 'Standard_GRS', 'Standard_RAGRS', 'Standard_LRS'])
param storageRedundancy string = 'Standard_ZRS'

@description('Object id of the Microsoft Entra group that may read the reports; empty: nobody but the app.')
param consumersGroupId string = ''

@description('E-mail address for alerts; empty: alerts are raised but not sent.')
param alertEmail string = ''

@description('Daily limit of logs in GB; 0: no limit. A thousand meetings are some 12 MB. Once it is reached, logs stop until the next day, and alerts about missing activity fire.')
@minValue(0)
@maxValue(4000)
param logDailyCapGB int = 1

@description('Audit logs: reports (every read, write and delete of a blob, by whom: some 20 MB for 1,000 meetings, and personal data of the readers) and vault (every use of a secret or key).')
param diagnostics ('reports' | 'vault')[] = ['vault']

@description('Memory of one instance, in MB. 512 (a quarter of a core) is enough: 16 reports of 20,000 people at once take 335 MiB, 10,000 ordinary reports 150 MiB at most, and the platform adds 272 MB, not billed, for its own processes. Choose 2048 if meetings of thousands of people are frequent, or instances run out of memory.')
@allowed([512, 2048, 4096])
param instanceMemoryMB int = 512

@description('Maximum instances of each function group: all HTTP functions together, and each queue function alone. Some regions require at least 40.')
@minValue(1)
@maxValue(1000)
param maximumInstances int = 10

@description('Always-ready instances for notifications, in addition to maximumInstances; 0 is cheaper but risks slow answers to Graph.')
@minValue(0)
@maxValue(5)
param alwaysReadyInstances int = 1

@description('Requests per second to Graph of all instances together. GRAPH_RATE of one instance is this divided by all instances that may call Graph at once: 3 groups of maximumInstances, alwaysReadyInstances, 1 timer. Archiving alone has about a third of it: by default 16,000 reports an hour. 75 is Graph\'s limit for call records, which are one request in five: a tenant with more meetings can use up to 900, and more instances.')
@minValue(1)
param graphRequestsPerSecond int = 75

@description('Whether storage and Key Vault are reached only through private endpoints. The app stays public for Graph, and the SCM site for deployment. Outside the network these cannot be reached: reports (consumers, Fabric, Databricks), state and queues (the command line), and the vault (az keyvault, rotating the client state).')
param privateNetwork bool = false

@description('Address range (CIDR, /25 or larger) of the network that privateNetwork creates. Choose your own to peer it.')
param networkAddressSpace string = '10.0.0.0/24'

@description('With privateNetwork: subnets of an existing network instead of a new one.')
param existingNetwork network?

@description('Address ranges (CIDR) that may call the app; empty: all. Risk: Graph\'s own ranges change without notice.')
param allowedAddresses string[] = []

@description('Whether allowedAddresses apply to the SCM site too. Packages can then not be deployed from hosted runners and other machines that are not listed.')
param restrictScm bool = false

@description('Whether to create an Event Grid topic with events of new blobs.')
param blobEvents bool = false

@description('Days for which a deleted vault and its name are kept; it cannot be purged earlier. Fixed when the vault is created. 7 suits a pilot.')
@minValue(7)
@maxValue(90)
param vaultRetentionDays int = 90

@description('True for one deployment, if the same environment was deleted less than vaultRetentionDays ago: recovers its vault with the client state. Azure refuses it if there is no deleted vault.')
param recoverVault bool = false

@description('App settings in addition to those of the template, or overriding them. The next deployment removes settings made by hand.')
param extraAppSettings object = {}

@description('Tags of every resource.')
param tags object = {}

var allTags = union(tags, { 'azd-env-name': environmentName, application: 'teams-attendance-reports' })
var token = toLower(uniqueString(subscription().id, environmentName, location))
var identityName = 'id-${environmentName}'
var hostStorageName = 'sthost${token}'
var dataStorageName = 'st${token}'
var daysKept = retentionDays == 0 || retentionDays > 30
  ? retentionDays
  : fail('retentionDays is ${retentionDays}: it must be 0 (for ever), or 31 or more, as the sweep looks 30 days back.')
var ways = union([delivery], empty(formerDelivery) ? [] : [formerDelivery])
var others = filter(signals, signal => signal != 'call-records')
var deliveries = delivery == 'event-grid' && !empty(others)
  ? fail('signals names ${join(others, ' and ')}, and delivery is event-grid: Event Grid has call records only.')
  : contains(ways, 'event-hubs') && empty(changeTrackingPrincipalId)
      ? fail('changeTrackingPrincipalId is empty, and delivery is event-hubs: az ad sp show --id 0bf30f3b-4a52-48df-9a82-234910c4a086 --query id')
      : ways
var usesHub = contains(deliveries, 'event-hubs')
var usesGrid = contains(deliveries, 'event-grid')
var topicName = 'graph-${environmentName}'
var isPrivate = existingNetwork == null || privateNetwork
  ? privateNetwork
  : fail('existingNetwork is given, and privateNetwork is false: set it to true.')

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
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
    dailyCapGB: logDailyCapGB
  }
}

module host 'modules/host.bicep' = {
  scope: group
  params: {
    name: hostStorageName
    location: location
    tags: allTags
    redundancy: storageRedundancy
    appPrincipalId: identity.outputs.principalId
    identityName: identityName
    retentionDays: daysKept
    publicAccess: !isPrivate
    receivesGridEvents: usesGrid
  }
}

module hub 'modules/hub.bicep' = if (usesHub) {
  scope: group
  params: {
    name: 'evhns-${token}'
    location: location
    tags: allTags
    appPrincipalId: identity.outputs.principalId
    identityName: identityName
    changeTrackingPrincipalId: changeTrackingPrincipalId
  }
}

module partner 'modules/partner.bicep' = if (usesGrid) {
  scope: group
  params: { tags: allTags }
}

module data 'modules/data.bicep' = {
  scope: group
  params: {
    name: dataStorageName
    location: location
    tags: allTags
    redundancy: storageRedundancy
    appPrincipalId: identity.outputs.principalId
    identityName: identityName
    consumersGroupId: consumersGroupId
    retentionDays: daysKept
    versionDays: versionDays
    publicAccess: !isPrivate
    audited: contains(diagnostics, 'reports')
    workspaceId: monitoring.outputs.workspaceId
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
    callEvents: contains(signals, 'call-events')
    publicAccess: !isPrivate
    deletedDays: vaultRetentionDays
    recover: recoverVault
    audited: contains(diagnostics, 'vault')
    workspaceId: monitoring.outputs.workspaceId
  }
}

module privateEndpoints 'modules/network.bicep' = if (isPrivate) {
  scope: group
  params: {
    name: environmentName
    location: location
    tags: allTags
    addressSpace: networkAddressSpace
    existing: existingNetwork
    hostStorageId: host.outputs.id
    dataStorageId: data.outputs.id
    vaultId: vault.outputs.id
    usesHub: usesHub
    hubId: usesHub ? hub!.outputs.id : ''
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
    hostStorageName: hostStorageName
    dataBlobEndpoint: data.outputs.blobEndpoint
    packageContainer: host.outputs.packageContainer
    insightsConnection: monitoring.outputs.connectionString
    clientStateUri: vault.outputs.clientStateUri
    previousClientStateUri: vault.outputs.previousClientStateUri
    erasureKeyUri: vault.outputs.erasureKeyUri
    encryptionKeyId: vault.outputs.encryptionKeyId
    signals: signals
    deliveries: deliveries
    hubNamespace: usesHub ? hub!.outputs.host : ''
    partnerTopic: usesGrid
      ? 'EventGrid:?azuresubscriptionid=${subscription().subscriptionId}&resourcegroup=${resourceGroupName}&partnertopic=${topicName}&location=${location}'
      : ''
    graphCloud: graphCloud
    graphClientId: graphClientId
    organizers: organizers
    retentionDays: daysKept
    instanceMemoryMB: instanceMemoryMB
    maximumInstances: maximumInstances
    alwaysReadyInstances: alwaysReadyInstances
    graphRequestsPerSecond: graphRequestsPerSecond
    allowedAddresses: allowedAddresses
    restrictScm: restrictScm
    subnetId: isPrivate ? privateEndpoints!.outputs.appSubnetId : ''
    extraAppSettings: extraAppSettings
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
  params: { name: 'evgt-${environmentName}', location: location, tags: allTags, storageId: data.outputs.id }
}

output AZURE_RESOURCE_GROUP string = group.name
output AZURE_FUNCTION_APP_NAME string = app.outputs.name
output NOTIFICATION_BASE_URL string = app.outputs.baseUrl
output IDENTITY_CLIENT_ID string = identity.outputs.clientId
output IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output STORAGE_ACCOUNT string = data.outputs.name
output HOST_STORAGE_ACCOUNT string = host.outputs.name
output DELIVERY string = join(deliveries, ',')
output PARTNER_TOPIC_NAME string = usesGrid ? topicName : ''
output KEY_VAULT_NAME string = vault.outputs.name
