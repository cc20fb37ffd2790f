// Private endpoints of both storage accounts and of Key Vault, in a new or an existing network.
import { network as existingNetwork } from 'types.bicep'

param name string
param location string
param tags object
param addressSpace string
param existing existingNetwork?
param hostStorageId string
param dataStorageId string
param vaultId string
param usesHub bool
param hubId string

// The suffix is .vault.azure.net in the public cloud, and the zone privatelink.vaultcore.azure.net.
var vaultZone = 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'
// The suffix of storage is core.windows.net there, and that of Event Hubs servicebus.windows.net.
var hubZone = 'privatelink.${replace(environment().suffixes.storage, 'core.', 'servicebus.')}'
var zones = concat(everyZone, !usesHub ? [] : [{ group: 'namespace', zone: hubZone }])
var everyZone = [
  { group: 'blob', zone: 'privatelink.blob.${environment().suffixes.storage}' }
  { group: 'queue', zone: 'privatelink.queue.${environment().suffixes.storage}' }
  { group: 'table', zone: 'privatelink.table.${environment().suffixes.storage}' }
  { group: 'vault', zone: vaultZone }
]
var endpoints = concat(everyEndpoint, !usesHub ? [] : [{ of: 'hub', group: 'namespace', zone: 4 }])
var ids = { host: hostStorageId, data: dataStorageId, key: vaultId, hub: hubId }
var everyEndpoint = [
  { of: 'host', group: 'blob', zone: 0 }
  { of: 'host', group: 'queue', zone: 1 }
  { of: 'host', group: 'table', zone: 2 }
  { of: 'data', group: 'blob', zone: 0 }
  { of: 'key', group: 'vault', zone: 3 }
]
var isNew = existing == null
var zoneIds = existing.?dnsZoneIds

resource network 'Microsoft.Network/virtualNetworks@2023-11-01' = if (isNew) {
  name: 'vnet-${name}'
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [addressSpace] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(addressSpace, 26, 0)
          delegations: [{ name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      { name: 'endpoints', properties: { addressPrefix: cidrSubnet(addressSpace, 27, 2) } }
    ]
  }

  resource appSubnet 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource dns 'Microsoft.Network/privateDnsZones@2020-06-01' = [
  for each in zones: if (isNew) {
    name: each.zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [
  for (each, index) in zones: if (isNew) {
    parent: dns[index]
    name: 'vnet-${name}'
    location: 'global'
    properties: { registrationEnabled: false, virtualNetwork: { id: network.id } }
  }
]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2023-11-01' = [
  for each in endpoints: {
    name: 'pe-${name}-${each.of}-${each.group}'
    location: location
    tags: tags
    properties: {
      subnet: { id: existing.?endpointSubnetId ?? network::endpointSubnet.id }
      privateLinkServiceConnections: [
        {
          name: '${each.of}-${each.group}'
          properties: {
            privateLinkServiceId: ids[each.of]
            groupIds: [each.group]
          }
        }
      ]
    }
  }
]

resource records 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2023-11-01' = [
  for (each, index) in endpoints: if (isNew || contains(zoneIds ?? {}, each.group)) {
    parent: privateEndpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        { name: each.group, properties: { privateDnsZoneId: zoneIds[?each.group] ?? dns[each.zone].id } }
      ]
    }
  }
]

output appSubnetId string = existing.?appSubnetId ?? network::appSubnet.id
