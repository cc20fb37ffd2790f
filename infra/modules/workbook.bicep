// The same questions as the alerts, as a page in the portal.
param name string
param location string
param tags object
param workspaceId string

var questions = [
  { title: 'Graph has announced nothing for a day', query: loadTextContent('../queries/no-notification.kql') }
  {
    title: 'A subscription is missing or cannot be kept'
    query: loadTextContent('../queries/subscription-missing.kql')
  }
  { title: 'A subscription is near its expiry', query: loadTextContent('../queries/subscription-expiring.kql') }
  { title: 'Notifications with a wrong client state', query: loadTextContent('../queries/wrong-client-state.kql') }
  { title: 'A message could not be handled', query: loadTextContent('../queries/buried.kql') }
  { title: 'Signals settled as failed', query: loadTextContent('../queries/failed-outcomes.kql') }
  { title: 'A day was not sealed in time', query: loadTextContent('../queries/day-not-sealed.kql') }
  { title: 'Graph refuses an organizer\'s reports', query: loadTextContent('../queries/access-denied.kql') }
  { title: 'A function keeps failing', query: loadTextContent('../queries/function-failing.kql') }
  { title: 'The sweep does not run', query: loadTextContent('../queries/sweep-missing.kql') }
]

var introduction = {
  type: 1
  name: 'introduction'
  content: {
    json: '# Attendance reports\nEach question should have no answer. What to do where one has: docs/operators.md.'
  }
}

var items = [
  for (question, index) in questions: {
    type: 3
    name: 'question-${index}'
    content: {
      version: 'KqlItem/1.0'
      title: question.title
      query: question.query
      size: 1
      queryType: 0
      resourceType: 'microsoft.operationalinsights/workspaces'
      noDataMessage: 'No: all is well.'
      noDataMessageStyle: 3
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(resourceGroup().id, name, 'attendance-reports')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Attendance reports: ${name}'
    category: 'workbook'
    sourceId: workspaceId
    version: 'Notebook/1.0'
    serializedData: string({ version: 'Notebook/1.0', items: concat([introduction], items) })
  }
}
