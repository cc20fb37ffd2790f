#!/bin/sh
# usage: infra/grant-permissions.sh CLIENT_ID [SIGNALS]
# Grants the app what SIGNALS (comma-separated, as in the app's settings; default call-records) needs of Microsoft Graph,
# for those who cannot use infra/graph.bicep. Run again, it grants what is missing. Needs the Azure CLI, signed in as
# someone who may consent for the tenant (Privileged Role Administrator). In US Government set GRAPH to its address.
set -eu

client=$1
signals=${2:-call-records}
root=${GRAPH:-https://graph.microsoft.com}/v1.0

wanted="OnlineMeetings.Read.All OnlineMeetingArtifact.Read.All"
case ",$signals," in *,call-records,*) wanted="$wanted CallRecords.Read.All" ;; esac
case ",$signals," in *,virtual-events,*) wanted="$wanted VirtualEvent.Read.All" ;; esac

app=$(az rest --url "$root/servicePrincipals(appId='$client')" --query id --output tsv)
graph=$(az rest --url "$root/servicePrincipals(appId='00000003-0000-0000-c000-000000000000')" --query id --output tsv)
granted=$(az rest --url "$root/servicePrincipals/$app/appRoleAssignments" --query 'value[].appRoleId' --output tsv)

for permission in $wanted; do
    role=$(az rest --url "$root/servicePrincipals/$graph/appRoles" \
        --query "value[?value=='$permission'].id | [0]" --output tsv)
    case "$granted" in
    *"$role"*) echo "$permission: granted already" ;;
    *)
        az rest --method post --url "$root/servicePrincipals/$graph/appRoleAssignedTo" --output none \
            --body "{\"principalId\": \"$app\", \"resourceId\": \"$graph\", \"appRoleId\": \"$role\"}"
        echo "$permission: granted"
        ;;
    esac
done
