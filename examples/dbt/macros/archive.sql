{# The folder or the address of the archive. #}
{% macro archive() -%}
    {{ env_var('ATTENDANCE_ARCHIVE', 'copy').rstrip('/') }}
{%- endmacro %}


{# The rows of a table, from the files that the manifests name and from no others; with no file, no row.

   The columns and their types are those that the model documents. A file may lack columns that were added later. #}
{% macro table_rows(table) %}
    {%- set columns = model.columns.values() | rejectattr('name', 'equalto', 'date') | list -%}
    {%- set files = named_files(table) -%}
    select
        date::date as date
        {%- for column in columns %},
        "{{ column.name }}"::{{ column.data_type }} as "{{ column.name }}"
        {%- endfor %}
    from (
        select
            null::date as date
            {%- for column in columns %},
            null::{{ column.data_type }} as "{{ column.name }}"
            {%- endfor %}
        where false
        {%- if files %}
        union all by name
        select * from read_parquet([
            {%- for file in files %}
            '{{ archive() }}/{{ file }}'{{ ',' if not loop.last }}
            {%- endfor %}
        ], union_by_name = true, hive_partitioning = true)
        {%- endif %}
    )
{% endmacro %}


{# The tables that are loaded. #}
{% macro tables() -%}
    {{ return(['meetings', 'attendees', 'engagements', 'invitees']) }}
{%- endmacro %}


{# The files of a table that are loaded. #}
{% macro named_files(table) %}
    {%- set files = ref('stg_files') -%}
    {%- if execute and load_relation(files) is not none -%}
        {%- set query -%}
            select path from {{ files }} where "table" = '{{ table }}' and isLoaded order by path
        {%- endset -%}
        {{ return(run_query(query).columns[0].values() | list) }}
    {%- endif -%}
    {{ return([]) }}
{% endmacro %}


{# A meeting as one, however often it was restarted that day. #}
{% macro meeting_key() -%}
    coalesce(seriesId, meetingId, sessionId, reportId)
{%- endmacro %}


{# A part of a whole, 0 to 1, four digits; null if one is unknown, which least() and greatest() would pass over. #}
{% macro share(part, whole) -%}
    case when {{ part }} is not null and {{ whole }} > 0 then round(least(1, {{ part }} / {{ whole }}), 4) end
{%- endmacro %}


{# Whole seconds by which a time is later than another, 0 if it is not; null if one is unknown. #}
{% macro seconds_after(later, earlier) -%}
    case
        when {{ later }} is not null and {{ earlier }} is not null
        then greatest(0, floor(epoch({{ later }} - {{ earlier }})))::bigint
    end
{%- endmacro %}
