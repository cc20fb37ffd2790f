// Call records through Event Grid, and no public address. After the first run of maintain_subscriptions: connect-event-grid.sh
using '../main.bicep'

param environmentName = 'attendance'
param location = 'westeurope'
param delivery = 'event-grid'
