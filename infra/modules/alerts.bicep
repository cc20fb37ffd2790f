// What an operator must know, each a question of infra/queries that must have no answer.
param name string
param location string
param tags object
param workspaceId string
param actionGroupId string

var alerts = [
  {
    name: 'no-notification'
    title: 'Graph has announced nothing for a day'
    query: loadTextContent('../queries/no-notification.kql')
    severity: 2
    every: 'PT1H'
    window: 'P1D'
  }
  {
    name: 'subscription-missing'
    title: 'A subscription is missing or cannot be kept'
    query: loadTextContent('../queries/subscription-missing.kql')
    severity: 1
    every: 'PT30M'
    window: 'PT1H'
  }
  {
    name: 'subscription-expiring'
    title: 'A subscription is near its expiry'
    query: loadTextContent('../queries/subscription-expiring.kql')
    severity: 2
    every: 'PT30M'
    window: 'PT1H'
  }
  {
    name: 'wrong-client-state'
    title: 'Notifications with a wrong client state'
    query: loadTextContent('../queries/wrong-client-state.kql')
    severity: 2
    every: 'PT15M'
    window: 'PT1H'
  }
  {
    name: 'buried'
    title: 'A message could not be handled'
    query: loadTextContent('../queries/buried.kql')
    severity: 2
    every: 'PT15M'
    window: 'PT1H'
  }
  {
    name: 'failed-outcomes'
    title: 'Signals settled as failed'
    query: loadTextContent('../queries/failed-outcomes.kql')
    severity: 3
    every: 'PT1H'
    window: 'PT1H'
  }
  {
    name: 'day-not-sealed'
    title: 'A day was not sealed in time'
    query: loadTextContent('../queries/day-not-sealed.kql')
    severity: 2
    every: 'PT6H'
    window: 'PT6H'
  }
  {
    name: 'access-denied'
    title: 'Graph refuses an organizer\'s reports'
    query: loadTextContent('../queries/access-denied.kql')
    severity: 2
    every: 'PT1H'
    window: 'PT1H'
  }
  {
    name: 'function-failing'
    title: 'A function keeps failing'
    query: loadTextContent('../queries/function-failing.kql')
    severity: 1
    every: 'PT5M'
    window: 'PT15M'
  }
  {
    name: 'sweep-missing'
    title: 'The sweep does not run'
    query: loadTextContent('../queries/sweep-missing.kql')
    severity: 2
    every: 'PT1H'
    window: 'PT3H'
  }
]

resource rules 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for alert in alerts: {
    name: '${name}-${alert.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: alert.title
      description: 'infra/queries/${alert.name}.kql; what to do: docs/operators.md'
      enabled: true
      severity: alert.severity
      evaluationFrequency: alert.every
      windowSize: alert.window
      scopes: [workspaceId]
      autoMitigate: true
      criteria: {
        allOf: [
          { query: alert.query, timeAggregation: 'Count', operator: 'GreaterThan', threshold: 0 }
        ]
      }
      actions: { actionGroups: [actionGroupId] }
    }
  }
]
