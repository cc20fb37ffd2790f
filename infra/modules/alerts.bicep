// An alert for each query, which fires when the query returns rows.
import { questions } from 'questions.bicep'

param name string
param location string
param tags object
param workspaceId string
param actionGroupId string

resource rules 'Microsoft.Insights/scheduledQueryRules@2022-06-15' = [
  for each in questions: {
    name: '${name}-${each.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: each.title
      description: 'infra/queries/${each.name}.kql; what to do: docs/operators.md.${empty(each.firstDay) ? '' : ' On the first day: ${each.firstDay}'}'
      enabled: true
      severity: each.severity
      evaluationFrequency: each.every
      windowSize: each.window
      scopes: [workspaceId]
      autoMitigate: true
      criteria: {
        allOf: [
          { query: each.query, timeAggregation: 'Count', operator: 'GreaterThan', threshold: 0 }
        ]
      }
      actions: { actionGroups: [actionGroupId] }
    }
  }
]
