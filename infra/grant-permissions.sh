#!/bin/sh
# usage: infra/grant-permissions.sh CLIENT_ID [SIGNALS] [CLOUD]
# Grants the app the Graph permissions that SIGNALS needs (comma-separated, as in the app's settings; default call-records), as
# an alternative to infra/graph.bicep. CLOUD is the template's graphCloud: global (default), usgov or usgovdod. Run again,
# it grants what is missing. Needs the Azure CLI, signed in as someone who may consent for the tenant (Privileged Role
# Administrator); before, for US Government: az cloud set --name AzureUSGovernment.
set -eu

fail() {
    echo "grant-permissions: $1" >&2
    exit 1
}

client=${1:-}
signals=${2:-call-records}
cloud=${3:-global}

echo "$client" | grep -Eqx '[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}' ||
    fail "CLIENT_ID '$client' is not a GUID. usage: infra/grant-permissions.sh CLIENT_ID [SIGNALS] [CLOUD]"

case $cloud in
global) root=https://graph.microsoft.com ;;
usgov) root=https://graph.microsoft.us ;;
usgovdod) root=https://dod-graph.microsoft.us ;;
*) fail "CLOUD '$cloud' is none of global, usgov and usgovdod: no other national cloud has attendance reports and call records." ;;
esac

wanted="OnlineMeetings.Read.All OnlineMeetingArtifact.Read.All"
for signal in $(echo "$signals" | tr ',' ' '); do
    case $signal in
    call-records) wanted="$wanted CallRecords.Read.All" ;;
    virtual-events) wanted="$wanted VirtualEvent.Read.All" ;;
    call-events) ;;
    *) fail "SIGNALS names '$signal', which is none of call-records, virtual-events and call-events." ;;
    esac
done

# With --resource, because the Azure CLI knows one address of Graph in a cloud, and US Government has two.
ask() {
    az rest --resource "$root" "$@"
}

ask_id() {
    found=$(ask --url "$root/v1.0/servicePrincipals(appId='$1')" --query id --output tsv) && [ -n "$found" ] ||
        fail "the service principal of the app $1 could not be read."
    echo "$found"
}

app=$(ask_id "$client")
graph=$(ask_id 00000003-0000-0000-c000-000000000000)
granted=$(ask --url "$root/v1.0/servicePrincipals/$app/appRoleAssignments" --query 'value[].appRoleId' --output tsv)

for permission in $wanted; do
    role=$(ask --url "$root/v1.0/servicePrincipals/$graph/appRoles" \
        --query "value[?value=='$permission' && contains(allowedMemberTypes, 'Application')].id | [0]" --output tsv)
    case $role in
    '' | None | null) fail "the Graph of this cloud ($root) has no permission $permission. It is not granted." ;;
    esac
    if echo "$granted" | grep -Fqx "$role"; then
        echo "$permission: granted already"
    else
        ask --method post --url "$root/v1.0/servicePrincipals/$graph/appRoleAssignedTo" --output none \
            --body "{\"principalId\": \"$app\", \"resourceId\": \"$graph\", \"appRoleId\": \"$role\"}"
        echo "$permission: granted"
    fi
done
