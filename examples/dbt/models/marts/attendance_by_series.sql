with held as (
    select seriesId, count(*) as held from {{ ref('meetings_held') }} where seriesId is not null group by all
)

select
    attended.seriesId,
    attended.personKey,
    arg_max(attended.subject, attended.date) as subject,
    arg_max(attended.displayName, attended.date) as displayName,
    any_value(held.held) as meetingsHeld,
    count(*) as meetingsAttended,
    round(count(*) / any_value(held.held), 4) as shareOfMeetings,
    sum(attended.netSeconds)::bigint as netSeconds,
    min(attended.date) as firstDate,
    max(attended.date) as lastDate
from {{ ref('attendance') }} as attended
join held using (seriesId)
where attended.personKey is not null
group by all
