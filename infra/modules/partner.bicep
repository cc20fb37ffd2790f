// Lets Microsoft Graph create its partner topic in this resource group. Graph creates the topic with the subscription, so the
// rest comes after it: infra/connect-event-grid.sh.
param tags object

resource configuration 'Microsoft.EventGrid/partnerConfigurations@2022-06-15' = {
  name: 'default'
  location: 'global'
  tags: tags
  properties: {
    partnerAuthorization: {
      defaultMaximumExpirationTimeInDays: 365 // of the authorization; a topic that exists goes on
      authorizedPartnersList: [
        {
          partnerName: 'MicrosoftGraphAPI'
          partnerRegistrationImmutableId: 'c02e0126-707c-436d-b6a1-175d2748fb58'
        }
      ]
    }
  }
}
