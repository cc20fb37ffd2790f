// Types of parameters of main.bicep and its modules.
@export()
@description('An existing network in the same region.')
type network = {
  @description('Resource id of the subnet of the app: delegated to Microsoft.App/environments, used by nothing else, /27 or larger, no underscore in its name.')
  appSubnetId: string

  @description('Resource id of the subnet for five private endpoints, or six with an event hub.')
  endpointSubnetId: string

  @description('Resource ids of private DNS zones that the network resolves; without them no record is created, and your own policy must create it.')
  dnsZoneIds: { blob: string, queue: string, table: string, vault: string, namespace: string? }?
}
