// Private endpoints in an existing network, whose private DNS zones are in a subscription for connectivity.
using '../main.bicep'

var network = '/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-network/providers/Microsoft.Network/virtualNetworks/vnet-hub'
var zones = '/subscriptions/22222222-2222-4222-8222-222222222222/resourceGroups/rg-dns/providers/Microsoft.Network/privateDnsZones'

param environmentName = 'attendance'
param location = 'westeurope'
param alertEmail = 'operators@contoso.example'
param privateNetwork = true
param existingNetwork = {
  appSubnetId: '${network}/subnets/attendance-app'
  endpointSubnetId: '${network}/subnets/endpoints'
  dnsZoneIds: {
    blob: '${zones}/privatelink.blob.core.windows.net'
    queue: '${zones}/privatelink.queue.core.windows.net'
    table: '${zones}/privatelink.table.core.windows.net'
    vault: '${zones}/privatelink.vaultcore.azure.net'
  }
}
