{% set tables = ['meetings', 'attendees', 'engagements'] %}

with named as (
    {%- for table in tables %}
    select date, '{{ table }}' as "table", unnest((tables -> '{{ table }}')::json[]) as file
    from {{ source('archive', 'manifests') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

present as (
    select file as location from glob('{{ archive() }}/tables/*/date=*/*.parquet')
)

select
    named.date,
    named."table",
    file ->> 'path' as path,
    (file ->> 'rows')::bigint as rows,
    (file ->> 'bytes')::bigint as bytes,
    file ->> 'sha256' as sha256,
    present.location is not null as isThere,
    bool_and(present.location is not null) over (partition by named.date) as isWhole
from named
left join present on present.location = '{{ archive() }}/' || (named.file ->> 'path')
