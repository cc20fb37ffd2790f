// US Government L4. Deploy it in that cloud: az cloud set --name AzureUSGovernment
using '../main.bicep'

param environmentName = 'attendance'
param location = 'usgovvirginia'
param graphCloud = 'usgov'
