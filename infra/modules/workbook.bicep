// The queries of the alerts, and the delays of reports, as a page in the portal.
import { questions } from 'questions.bicep'

param name string
param location string
param tags object
param workspaceId string

var expected = join(
  map(filter(questions, each => !empty(each.firstDay)), each => '- *${each.title}.* ${each.firstDay}'),
  '\n'
)

var introduction = {
  type: 1
  name: 'introduction'
  content: {
    json: '# Attendance reports\nEach question but the last should have no answer. What to do where one has: docs/operators.md.\n\nOn the first day these are expected:\n\n${expected}'
  }
}

var items = [
  for (each, index) in questions: {
    type: 3
    name: 'question-${index}'
    content: {
      version: 'KqlItem/1.0'
      title: each.title
      query: each.query
      size: 1
      queryType: 0
      resourceType: 'microsoft.operationalinsights/workspaces'
      noDataMessage: 'No: all is well.'
      noDataMessageStyle: 3
    }
  }
]

var figures = {
  type: 3
  name: 'delays'
  content: {
    version: 'KqlItem/1.0'
    title: 'How late were the reports?'
    query: loadTextContent('../figures/delays.kql')
    size: 1
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
    noDataMessage: 'No report is stored yet.'
  }
}

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  name: guid(resourceGroup().id, name, 'attendance-reports')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Attendance reports: ${name}'
    category: 'workbook'
    sourceId: workspaceId
    version: 'Notebook/1.0'
    serializedData: string({ version: 'Notebook/1.0', items: concat([introduction], items, [figures]) })
  }
}
