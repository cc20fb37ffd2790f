// Key Vault: the client state, which is made once, and with call events the key that decrypts notifications.
import { roles } from 'roles.bicep'

param name string
param location string
param tags object
param appPrincipalId string
param identityName string
param callEvents bool
param publicAccess bool

@description('Only a value for the first deployment: an existing secret is kept.')
@secure()
param newClientState string = '${newGuid()}${newGuid()}'

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enablePurgeProtection: true
    softDeleteRetentionInDays: 90
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: { bypass: 'AzureServices', defaultAction: publicAccess ? 'Allow' : 'Deny' }
  }
}

// Deployed again, the first value stays: a new one would turn away every notification that is under way.
@onlyIfNotExists()
resource clientState 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  parent: vault
  name: 'client-state'
  properties: { value: newClientState, contentType: 'text/plain' }
}

resource encryption 'Microsoft.KeyVault/vaults/keys@2024-11-01' = if (callEvents) {
  parent: vault
  name: 'notifications'
  properties: {
    kty: 'RSA'
    keySize: 3072
    keyOps: ['sign', 'verify', 'encrypt', 'decrypt', 'wrapKey', 'unwrapKey']
    attributes: { enabled: true, exportable: false }
  }
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

// Key Vault Crypto User on the key: the app has notifications decrypted, and a certificate signed, in the vault.
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
output clientStateUri string = clientState.properties.secretUri
output encryptionKeyId string = callEvents ? encryption!.properties.keyUri : ''
