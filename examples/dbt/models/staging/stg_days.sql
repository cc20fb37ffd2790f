select
    date,
    complete,
    revision,
    reports,
    partial,
    coalesce((outcomes ->> 'pending')::bigint, 0) as pending,
    reasons,
    updated,
    (tables ->> 'revision')::bigint as tablesRevision,
    complete and (tables ->> 'revision')::bigint = revision as hasTables
from {{ source('archive', 'manifests') }}
