// The function app, on Flex Consumption, with all of its settings. Nothing here is a secret.
param name string
param location string
param tags object
param identityId string
param identityClientId string
param storageName string
param packageContainer string
param insightsConnection string
param clientStateUri string
param encryptionKeyId string
param signals string[]
param graphCloud string
param graphClientId string
param organizers string[]
param instanceMemoryMB int
param maximumInstances int
param alwaysReadyInstances int
param graphRequestsPerSecond int
param allowedAddresses string[]
param subnetId string

// In hundredths, for there are no fractions: 75 a second over 40 instances are 1.87 each.
var hundredths = max(1, graphRequestsPerSecond * 100 / maximumInstances)
var graphRate = '${hundredths / 100}.${padLeft(hundredths % 100, 2, '0')}'

resource storage 'Microsoft.Storage/storageAccounts@2025-01-01' existing = {
  name: storageName
}

resource plan 'Microsoft.Web/serverfarms@2024-11-01' = {
  name: 'plan-${name}'
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-11-01' = {
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
    }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainer}'
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      runtime: { name: 'python', version: '3.13' }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstances
        alwaysReady: alwaysReadyInstances > 0 ? [{ name: 'http', instanceCount: alwaysReadyInstances }] : []
        triggers: { http: { perInstanceConcurrency: 16 } }
      }
    }
  }
}

resource settings 'Microsoft.Web/sites/config@2024-11-01' = {
  parent: app
  name: 'appsettings'
  properties: {
    APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
    APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnection
    ATTENDANCE_CONTAINER: 'attendance'
    AZURE_CLIENT_ID: identityClientId
    AttendanceStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
    AttendanceStorage__clientId: identityClientId
    AttendanceStorage__credential: 'managedidentity'
    AzureWebJobsStorage__blobServiceUri: storage.properties.primaryEndpoints.blob
    AzureWebJobsStorage__clientId: identityClientId
    AzureWebJobsStorage__credential: 'managedidentity'
    AzureWebJobsStorage__queueServiceUri: storage.properties.primaryEndpoints.queue
    AzureWebJobsStorage__tableServiceUri: storage.properties.primaryEndpoints.table
    CLIENT_STATE: '@Microsoft.KeyVault(SecretUri=${clientStateUri})'
    ENCRYPTION_KEY_ID: encryptionKeyId
    GRAPH_CLIENT_ID: graphClientId
    GRAPH_CLOUD: graphCloud
    GRAPH_RATE: graphRate
    MAINTAIN_SCHEDULE: '0 */15 * * * *'
    NOTIFICATION_BASE_URL: 'https://${app.properties.defaultHostName}/api'
    ORGANIZERS: join(organizers, ',')
    PYTHON_THREADPOOL_THREAD_COUNT: '32'
    SIGNALS: join(signals, ',')
    SWEEP_SCHEDULE: '0 10 * * * *'
    TENANT_ID: tenant().tenantId
  }
}

output name string = app.name
output baseUrl string = 'https://${app.properties.defaultHostName}/api'
