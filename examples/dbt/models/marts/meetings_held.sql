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
    bool_or(partial) as partial
from {{ ref('stg_meetings') }}
group by all
