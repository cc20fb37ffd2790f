// Key Vault: two client states and the key of erasures, each created once, and with call events the key that decrypts notifications.
import { roles } from 'roles.bicep'

param name string
param location string
param tags object
param appPrincipalId string
param identityName string
param callEvents bool
param publicAccess bool
param deletedDays int
param recover bool

@description('Whether every access is logged in the workspace.')
param audited bool
param workspaceId string

@description('Value for the first deployment only: an existing secret is kept. 72 characters, of 0-9, a-f and -.')
@secure()
param newClientState string = '${newGuid()}${newGuid()}'

@description('The same for the previous secret: a random stand-in until the first rotation.')
@secure()
param newPreviousClientState string = '${newGuid()}${newGuid()}'

@description('The same for the key behind the hashes of erased persons.')
@secure()
param newErasureKey string = '${newGuid()}${newGuid()}'

resource vault 'Microsoft.KeyVault/vaults@2023-07-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    createMode: recover ? 'recover' : 'default'
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: deletedDays
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: { bypass: 'AzureServices', defaultAction: publicAccess ? 'Allow' : 'Deny' }
  }
}

// A redeployment keeps the first value: with a new one every notification under way would be dropped.
@onlyIfNotExists()
resource clientState 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'client-state'
  properties: { value: newClientState, contentType: 'text/plain' }
}

// Always present, so that a rotation only changes values in the vault and survives every deployment.
@onlyIfNotExists()
resource previousClientState 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'client-state-previous'
  properties: { value: newPreviousClientState, contentType: 'text/plain' }
}

// Never rotated, and kept by every deployment: nobody who was erased would be recognised with another one.
@onlyIfNotExists()
resource erasureKey 'Microsoft.KeyVault/vaults/secrets@2023-07-01' = {
  parent: vault
  name: 'erasure-key'
  properties: { value: newErasureKey, contentType: 'text/plain' }
}

resource encryption 'Microsoft.KeyVault/vaults/keys@2023-07-01' = if (callEvents) {
  parent: vault
  name: 'notifications'
  properties: {
    kty: 'RSA'
    keySize: 3072
    keyOps: ['sign', 'verify', 'encrypt', 'decrypt', 'wrapKey', 'unwrapKey']
    attributes: { enabled: true, exportable: false }
  }
}

resource audit 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (audited) {
  scope: vault
  name: 'audit'
  properties: { workspaceId: workspaceId, logs: [{ category: 'AuditEvent', enabled: true }] }
}

// Key Vault Secrets User on the secret: Functions resolves the setting CLIENT_STATE.
resource readsClientState 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: clientState
  name: guid(clientState.id, identityName, roles.keyVaultSecretsUser)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Key Vault Secrets User on the secret: Functions resolves the setting CLIENT_STATE_PREVIOUS.
resource readsPreviousClientState 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: previousClientState
  name: guid(previousClientState.id, identityName, roles.keyVaultSecretsUser)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Key Vault Secrets User on the secret: Functions resolves the setting ERASURE_KEY.
resource readsErasureKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: erasureKey
  name: guid(erasureKey.id, identityName, roles.keyVaultSecretsUser)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Key Vault Crypto User on the key: the vault decrypts notifications and signs a certificate for the app.
resource usesKey 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (callEvents) {
  scope: encryption
  name: guid(vault.id, 'notifications', identityName, roles.keyVaultCryptoUser)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultCryptoUser)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

output id string = vault.id
output name string = vault.name
output clientStateUri string = clientState.properties.secretUri
output previousClientStateUri string = previousClientState.properties.secretUri
output erasureKeyUri string = erasureKey.properties.secretUri
output encryptionKeyId string = callEvents ? encryption!.properties.keyUri : ''
