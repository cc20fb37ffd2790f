#!/bin/sh
# usage: infra/connect-event-grid.sh RESOURCE_GROUP TOPIC HOST_STORAGE_ACCOUNT
# Completes delivery through Event Grid, once the app has created its subscription and Graph with it the partner topic: gives
# the topic an identity that may send to the queue graph-events, leads its events there, and activates it last. The names are
# outputs of main.bicep: AZURE_RESOURCE_GROUP, PARTNER_TOPIC_NAME, HOST_STORAGE_ACCOUNT. Run again, it repairs what is
# missing. Needs the Azure CLI, signed in as Owner, or Contributor and User Access Administrator, of the group.
set -eu

fail() {
    echo "connect-event-grid: $1" >&2
    exit 1
}

group=${1:-}
topic=${2:-}
account=${3:-}
[ -n "$group" ] && [ -n "$topic" ] && [ -n "$account" ] ||
    fail "usage: infra/connect-event-grid.sh RESOURCE_GROUP TOPIC HOST_STORAGE_ACCOUNT"

api=2022-06-15
sender=c6a89b2d-59bc-44d0-9896-0f6e12d7b80a # Storage Queue Data Message Sender
root=$(az cloud show --query endpoints.resourceManager --output tsv)
root=${root%/}
scope=$(az group show --name "$group" --query id --output tsv) && [ -n "$scope" ] ||
    fail "there is no resource group '$group' in this subscription."
address="$root$scope/providers/Microsoft.EventGrid/partnerTopics/$topic"
storage="$scope/providers/Microsoft.Storage/storageAccounts/$account"
queue="$storage/queueServices/default/queues/graph-events"

az rest --method get --url "$address?api-version=$api" --output none ||
    fail "there is no partner topic '$topic'. Graph creates it with the subscription: run attendance subscriptions renew, and see attendance doctor."

az rest --method patch --url "$address?api-version=$api" --output none \
    --body '{"identity": {"type": "SystemAssigned"}}'
principal=
for _ in 1 2 3 4 5 6 7 8 9 10; do
    principal=$(az rest --method get --url "$address?api-version=$api" --query identity.principalId --output tsv)
    case $principal in '' | None | null) sleep "${CONNECT_PAUSE:-6}" ;; *) break ;; esac
done
case $principal in '' | None | null) fail "the topic has got no identity: run this again." ;; esac
echo "identity: $principal"

az role assignment create --assignee-object-id "$principal" --assignee-principal-type ServicePrincipal \
    --role "$sender" --scope "$queue" --output none
echo "role: Storage Queue Data Message Sender on graph-events"

# Never expiring (-1): Event Grid's own default is seven days.
az rest --method put --url "$address/eventSubscriptions/graph-events?api-version=$api" --output none --body "{
  \"properties\": {
    \"deliveryWithResourceIdentity\": {
      \"identity\": {\"type\": \"SystemAssigned\"},
      \"destination\": {
        \"endpointType\": \"StorageQueue\",
        \"properties\": {
          \"resourceId\": \"$storage\", \"queueName\": \"graph-events\", \"queueMessageTimeToLiveInSeconds\": -1
        }
      }
    },
    \"eventDeliverySchema\": \"CloudEventSchemaV1_0\",
    \"retryPolicy\": {\"maxDeliveryAttempts\": 30, \"eventTimeToLiveInMinutes\": 1440}
  }
}"
echo "event subscription: graph-events"

az rest --method post --url "$address/activate?api-version=$api" --output none
echo "topic: active"
