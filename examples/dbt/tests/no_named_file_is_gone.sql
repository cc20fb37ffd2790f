-- Days that are left out, because retention deleted a file that their manifests name.
{{ config(severity='warn') }}
select date, path from {{ ref('stg_files') }} where not isThere
