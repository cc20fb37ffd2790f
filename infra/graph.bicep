// The app's permissions in Microsoft Graph. Deploy as Privileged Role Administrator and Contributor of the group.
// az deployment group create --resource-group AZURE_RESOURCE_GROUP --template-file infra/graph.bicep
//   --parameters principalId=IDENTITY_PRINCIPAL_ID
// A permission that the cloud lacks ends the deployment with an error. In US Government use infra/grant-permissions.sh.
targetScope = 'resourceGroup'

extension microsoftGraphV1

@description('Object id of the identity\'s service principal: IDENTITY_PRINCIPAL_ID of main.bicep, or that of the app registration.')
param principalId string

@description('As in main.bicep; only the permissions that these signals need are granted.')
param signals ('call-records' | 'virtual-events' | 'call-events')[] = ['call-records']

var reports = ['OnlineMeetings.Read.All', 'OnlineMeetingArtifact.Read.All']
var permissions = concat(
  reports,
  contains(signals, 'call-records') ? ['CallRecords.Read.All'] : [],
  contains(signals, 'virtual-events') ? ['VirtualEvent.Read.All'] : []
)

resource graph 'Microsoft.Graph/servicePrincipals@v1.0' existing = {
  appId: '00000003-0000-0000-c000-000000000000'
}

resource grants 'Microsoft.Graph/appRoleAssignedTo@v1.0' = [
  for permission in permissions: {
    appRoleId: first(filter(graph.appRoles, role => role.value == permission)).?id ?? fail('The Graph of this cloud has no permission ${permission}.')
    principalId: principalId
    resourceId: graph.id
  }
]
