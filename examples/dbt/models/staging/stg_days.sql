select
    date,
    complete,
    revision,
    reports,
    partial,
    coalesce((outcomes ->> 'pending')::bigint, 0) as pending,
    reasons,
    updated,
    (tables ->> 'version')::bigint as tablesVersion,
    (tables ->> 'revision')::bigint as tablesRevision,
    complete and (tables ->> 'revision')::bigint = revision as isFinal,
    tables -> 'files' as files
from {{ source('archive', 'manifests') }}
