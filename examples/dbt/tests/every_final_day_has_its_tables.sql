-- Days whose tables are being written, which takes minutes. Until then, a day has its former tables, or none after an
-- erasure.
{{ config(severity='warn') }}
select date, revision, tablesRevision from {{ ref('stg_days') }} where complete and not isFinal
