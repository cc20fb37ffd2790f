// US Government L4, deployed in that cloud: az cloud set --name AzureUSGovernment. Flex Consumption was not offered there in
// 2026: when az functionapp list-flexconsumption-locations names no region, this cannot be deployed yet.
using '../main.bicep'

param environmentName = 'attendance'
param location = 'usgovvirginia'
param graphCloud = 'usgov'
