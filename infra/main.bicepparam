// What `azd up` deploys: everyone's meetings, in the Global cloud.
using 'main.bicep'

param environmentName = readEnvironmentVariable('AZURE_ENV_NAME', 'attendance')
param location = readEnvironmentVariable('AZURE_LOCATION', 'westeurope')
