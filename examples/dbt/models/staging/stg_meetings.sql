-- depends_on: {{ ref('stg_files') }}
{{ table_rows('meetings') }}
