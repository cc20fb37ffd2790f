// The event hub to which Graph sends notifications: two partitions, seven days, no keys.
import { roles } from 'roles.bicep'

param name string
param location string
param tags object
param appPrincipalId string
param identityName string
param changeTrackingPrincipalId string

// Open to the internet also with privateNetwork: Graph is not among the services that a namespace can trust. It takes tokens of
// Microsoft Entra alone, and only Graph and the app have a role.
resource namespace 'Microsoft.EventHub/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: { name: 'Standard', tier: 'Standard', capacity: 1 } // Basic has neither consumer groups nor private endpoints
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

resource hub 'Microsoft.EventHub/namespaces/eventhubs@2024-01-01' = {
  parent: namespace
  name: 'graph-notifications'
  properties: {
    partitionCount: 2
    retentionDescription: { cleanupPolicy: 'Delete', retentionTimeInHours: 168 }
  }
}

resource group 'Microsoft.EventHub/namespaces/eventhubs/consumergroups@2024-01-01' = {
  parent: hub
  name: 'attendance'
}

// Azure Event Hubs Data Receiver on the hub: the app reads notifications.
resource receives 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: hub
  name: guid(hub.id, identityName, roles.eventHubsDataReceiver)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventHubsDataReceiver)
    principalId: appPrincipalId
    principalType: 'ServicePrincipal'
  }
}

// Azure Event Hubs Data Sender on the hub: Microsoft Graph Change Tracking sends notifications, and nobody else.
resource sends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: hub
  name: guid(hub.id, changeTrackingPrincipalId, roles.eventHubsDataSender)
  properties: {
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.eventHubsDataSender)
    principalId: changeTrackingPrincipalId
    principalType: 'ServicePrincipal'
  }
}

output id string = namespace.id
output host string = split(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':')[0]
