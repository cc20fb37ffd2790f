with found as (
    {%- for table in tables() %}
    select '{{ table }}' as "table", date, count(*) as found from {{ ref('stg_' ~ table) }} group by date
    {{ 'union all' if not loop.last }}
    {%- endfor %}
),

named as (
    select "table", date, sum(rows) as named from {{ ref('stg_files') }} where isLoaded group by all
)

select *
from named full join found using ("table", date)
where named is distinct from found
