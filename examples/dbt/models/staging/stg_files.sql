with named as (
    {%- for table in tables() %}
    select date, isFinal, '{{ table }}' as "table", unnest((files -> '{{ table }}')::json[]) as file
    from {{ ref('stg_days') }}
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

present as (
    select regexp_extract(replace(file, '\', '/'), 'tables/[^/]+/date=[^/]+/[^/]+$') as path
    from glob('{{ archive() }}/tables/*/date=*/*.parquet')
),

found as (
    select named.*, present.path is not null as isThere
    from named
    left join present on present.path = named.file ->> 'path'
)

select
    date,
    "table",
    file ->> 'path' as path,
    (file ->> 'rows')::bigint as rows,
    (file ->> 'bytes')::bigint as bytes,
    file ->> 'sha256' as sha256,
    isThere,
    bool_and(isThere) over (partition by date){{ ' and isFinal' if var('only_final_days') }} as isLoaded
from found
