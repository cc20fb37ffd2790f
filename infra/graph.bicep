// What the app may ask of Microsoft Graph. Apart from main.bicep, for it needs another role: the deployer must be able to
// consent for the tenant (Privileged Role Administrator).
targetScope = 'tenant'

extension microsoftGraphV1

@description('Object id of the identity\'s service principal: IDENTITY_PRINCIPAL_ID of main.bicep, or that of the app registration.')
param principalId string

@description('As in main.bicep: only what these signals need is granted.')
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
    appRoleId: filter(graph.appRoles, role => role.value == permission)[0].id
    principalId: principalId
    resourceId: graph.id
  }
]
