select
    date,
    {{ meeting_key() }} as meetingKey,
    max(seriesId) as seriesId,
    max(organizerId) as organizerId,
    arg_max(subject, meetingStart) as subject,
    min(scheduledStart) as scheduledStart,
    max(scheduledEnd) as scheduledEnd,
    min(meetingStart) as meetingStart,
    max(meetingEnd) as meetingEnd,
    count(*) as sessions,
    sum(epoch(meetingEnd - meetingStart))::bigint as heldSeconds,
    bool_or(stg_meetings.partial) as partial,
    bool_and(isFinal) as isFinal
from {{ ref('stg_meetings') }} as stg_meetings
join {{ ref('stg_days') }} as stg_days using (date)
group by all
