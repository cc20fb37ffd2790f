// Queries of infra/queries that should return nothing. Each is an alert, and a table of the workbook.
type question = {
  name: string
  title: string
  query: string
  severity: int
  every: string
  window: string

  @description('Why the alert may fire on the first day; empty: it does not.')
  firstDay: string
}

@export()
var questions question[] = [
  {
    name: 'no-notification'
    title: 'Graph has announced nothing for a day'
    query: loadTextContent('../queries/no-notification.kql')
    severity: 2
    every: 'PT1H'
    window: 'P1D'
    firstDay: 'Fires until the first meeting has been announced.'
  }
  {
    name: 'subscription-missing'
    title: 'A subscription is missing or cannot be kept'
    query: loadTextContent('../queries/subscription-missing.kql')
    severity: 1
    every: 'PT30M'
    window: 'PT1H'
    firstDay: 'Fires until the permissions in Graph are granted and maintain_subscriptions has run.'
  }
  {
    name: 'subscription-expiring'
    title: 'A subscription is near its expiry'
    query: loadTextContent('../queries/subscription-expiring.kql')
    severity: 2
    every: 'PT30M'
    window: 'PT1H'
    firstDay: ''
  }
  {
    name: 'wrong-client-state'
    title: 'A subscription sends a wrong client state'
    query: loadTextContent('../queries/wrong-client-state.kql')
    severity: 2
    every: 'PT15M'
    window: 'PT1H'
    firstDay: ''
  }
  {
    name: 'invented-news'
    title: 'Calls are announced that Graph does not know'
    query: loadTextContent('../queries/invented-news.kql')
    severity: 2
    every: 'PT15M'
    window: 'PT1H'
    firstDay: ''
  }
  {
    name: 'webhook-failing'
    title: 'A webhook answers 5xx'
    query: loadTextContent('../queries/webhook-failing.kql')
    severity: 1
    every: 'PT15M'
    window: 'PT1H'
    firstDay: 'May fire while a Key Vault reference is not resolved yet: the webhooks then answer 503.'
  }
  {
    name: 'buried'
    title: 'A message could not be processed'
    query: loadTextContent('../queries/buried.kql')
    severity: 2
    every: 'PT15M'
    window: 'PT1H'
    firstDay: ''
  }
  {
    name: 'failed-outcomes'
    title: 'Signals settled as failed'
    query: loadTextContent('../queries/failed-outcomes.kql')
    severity: 3
    every: 'PT1H'
    window: 'PT1H'
    firstDay: ''
  }
  {
    name: 'day-not-sealed'
    title: 'A day was not sealed in time'
    query: loadTextContent('../queries/day-not-sealed.kql')
    severity: 2
    every: 'PT6H'
    window: 'PT6H'
    firstDay: 'May fire until the calls of the 30 days before the first deployment are settled.'
  }
  {
    name: 'late-reports'
    title: 'Yesterday\'s reports came late'
    query: loadTextContent('../queries/late-reports.kql')
    severity: 3
    every: 'PT6H'
    window: 'PT6H'
    firstDay: 'May fire for the meetings that ended before the first deployment.'
  }
  {
    name: 'access-denied'
    title: 'Graph refuses an organizer\'s reports'
    query: loadTextContent('../queries/access-denied.kql')
    severity: 2
    every: 'PT1H'
    window: 'PT1H'
    firstDay: 'May fire until the application access policy is in effect.'
  }
  {
    name: 'access-denied-widely'
    title: 'Graph refuses the reports of many organizers'
    query: loadTextContent('../queries/access-denied-widely.kql')
    severity: 1
    every: 'PT15M'
    window: 'PT1H'
    firstDay: 'Fires until the permissions in Graph and the application access policy are in effect.'
  }
  {
    name: 'function-failing'
    title: 'A function keeps failing'
    query: loadTextContent('../queries/function-failing.kql')
    severity: 1
    every: 'PT15M'
    window: 'PT30M'
    firstDay: ''
  }
  {
    name: 'sweep-missing'
    title: 'The sweep does not run'
    query: loadTextContent('../queries/sweep-missing.kql')
    severity: 2
    every: 'PT1H'
    window: 'PT3H'
    firstDay: 'Fires until the app\'s package is deployed and the sweep has run once, ten minutes past an hour.'
  }
]
