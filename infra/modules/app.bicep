// The function app, on Flex Consumption, with all of its settings. Nothing here is a secret.
param name string
param location string
param tags object
param identityId string
param identityClientId string
param hostStorageName string
param dataBlobEndpoint string
param packageContainer string
param insightsConnection string
param clientStateUri string
param previousClientStateUri string
param erasureKeyUri string
param encryptionKeyId string
param signals string[]
param deliveries string[]
param hubNamespace string
param partnerTopic string
param graphCloud string
param graphClientId string
param organizers string[]
param retentionDays int
param instanceMemoryMB int
param maximumInstances int
param alwaysReadyInstances int
param graphRequestsPerSecond int
param allowedAddresses string[]
param restrictScm bool
param subnetId string
param extraAppSettings object

// Groups that call Graph. Flex scales each group separately, up to maximumInstances plus always-ready instances; one group
// alone cannot be limited. A timer runs on one instance at a time.
var groups = ['http', 'archive_reports', 'do_upkeep'] // http: health, on the instances of the webhooks
var timers = ['maintain_subscriptions']
var alwaysReady = contains(deliveries, 'webhook') ? alwaysReadyInstances : 0 // only a webhook must answer within seconds
var instances = length(groups) * maximumInstances + alwaysReady + length(timers)

// In hundredths, because there are no fractions, and rounded down: 75 a second over 32 instances are 2.34 each.
var hundredths = graphRequestsPerSecond * 100 / instances
var graphRate = hundredths > 0
  ? '${hundredths / 100}.${padLeft(hundredths % 100, 2, '0')}'
  : fail('graphRequestsPerSecond is too small for ${instances} instances: raise it, or lower maximumInstances.')

resource host 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: hostStorageName
}

// 2024-04-01 is the newest version of Microsoft.Web in US Government.
resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
      ipSecurityRestrictionsDefaultAction: empty(allowedAddresses) ? 'Allow' : 'Deny'
      ipSecurityRestrictions: [
        for (address, index) in allowedAddresses: {
          name: 'allowed-${index}'
          action: 'Allow'
          ipAddress: address
          priority: 100 + index
        }
      ]
      scmIpSecurityRestrictionsUseMain: restrictScm
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${host.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReady > 0 ? [{ name: 'http', instanceCount: alwaysReady }] : []
        triggers: { http: { perInstanceConcurrency: 16 } }
      }
    }
  }
}

// Publishing needs Microsoft Entra: no user name and password.
resource basicOfScm 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'scm'
  properties: { allow: false }
}

resource basicOfFtp 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2024-04-01' = {
  parent: app
  name: 'ftp'
  properties: { allow: false }
}

// A deployment replaces the whole set, including settings made by hand.
resource settings 'Microsoft.Web/sites/config@2024-04-01' = {
  parent: app
  name: 'appsettings'
  properties: union(
    {
      APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
      APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
      ATTENDANCE_CONTAINER: 'attendance'
      AZURE_CLIENT_ID: identityClientId
      AttendanceStorage__blobServiceUri: dataBlobEndpoint
      AttendanceStorage__clientId: identityClientId
      AttendanceStorage__credential: 'managedidentity'
      AzureWebJobsStorage__blobServiceUri: host.properties.primaryEndpoints.blob
      AzureWebJobsStorage__clientId: identityClientId
      AzureWebJobsStorage__credential: 'managedidentity'
      AzureWebJobsStorage__queueServiceUri: host.properties.primaryEndpoints.queue
      AzureWebJobsStorage__tableServiceUri: host.properties.primaryEndpoints.table
      CLIENT_STATE: '@Microsoft.KeyVault(SecretUri=${clientStateUri})'
      CLIENT_STATE_PREVIOUS: '@Microsoft.KeyVault(SecretUri=${previousClientStateUri})'
      DELIVERY: join(deliveries, ',')
      ENCRYPTION_KEY_ID: encryptionKeyId
      ERASURE_KEY: '@Microsoft.KeyVault(SecretUri=${erasureKeyUri})'
      FUNCTIONS_REQUEST_BODY_SIZE_LIMIT: '2097152' // 2 MiB; the app takes 1 MiB at most, the platform's default is 100
      GRAPH_CLIENT_ID: graphClientId
      GRAPH_CLOUD: graphCloud
      GRAPH_RATE: graphRate
      MAINTAIN_SCHEDULE: '0 */15 * * * *'
      NOTIFICATION_BASE_URL: 'https://${app.properties.defaultHostName}/api'
      ORGANIZERS: join(organizers, ',')
      PYTHON_THREADPOOL_THREAD_COUNT: '32'
      RETENTION_DAYS: string(retentionDays)
      SIGNALS: join(signals, ',')
      SWEEP_SCHEDULE: '0 10 * * * *'
      TENANT_ID: tenant().tenantId
    },
    // With the addresses alone the host sometimes cannot create its client (azure-functions-host 11787). From a name it derives
    // the public cloud's address.
    graphCloud == 'global' ? { AzureWebJobsStorage__accountName: hostStorageName } : {},
    contains(deliveries, 'event-hubs')
      ? {
          GraphEventHub__clientId: identityClientId
          GraphEventHub__credential: 'managedidentity'
          GraphEventHub__fullyQualifiedNamespace: hubNamespace
        }
      : {},
    contains(deliveries, 'event-grid') ? { PARTNER_TOPIC: partnerTopic } : {},
    extraAppSettings
  )
}

output name string = app.name
output baseUrl string = 'https://${app.properties.defaultHostName}/api'
