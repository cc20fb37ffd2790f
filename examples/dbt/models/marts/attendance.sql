with records as (
    select
        *,
        {{ meeting_key() }} as meetingKey,
        -- Rows without a key are not one person.
        coalesce(personKey, reportId || '/' || recordNumber) as attendeeKey
    from {{ ref('stg_attendees') }}
),

people as (
    select
        date,
        meetingKey,
        attendeeKey,
        max(personKey) as personKey,
        arg_max(displayName, meetingStart) as displayName,
        arg_max(role, meetingStart) as role,
        bool_or(isExternal) as isExternal,
        min(firstJoin) as firstJoin,
        max(lastLeave) as lastLeave
    from records
    group by all
),

stays as (
    select date, meetingKey, attendeeKey, stay."join" as joined, stay.leave as gone
    from (select date, meetingKey, attendeeKey, unnest(intervals) as stay from records)
    where stay."join" < stay.leave
),

-- A stay counts from the end of all earlier ones, so two devices count once.
counted as (
    select
        *,
        greatest(joined, max(gone) over (
            partition by date, meetingKey, attendeeKey order by joined, gone
            rows between unbounded preceding and 1 preceding
        )) as since
    from stays
),

present as (
    select
        date,
        meetingKey,
        attendeeKey,
        sum(greatest(0, epoch(gone - since))) as netSeconds,
        sum(greatest(0, epoch(least(gone, scheduledEnd) - greatest(since, scheduledStart)))) as scheduledSeconds
    from counted
    join {{ ref('meetings_held') }} using (date, meetingKey)
    group by all
)

select
    people.date,
    people.meetingKey,
    people.attendeeKey,
    people.personKey,
    people.displayName,
    people.role,
    people.isExternal,
    meeting.seriesId,
    meeting.subject,
    people.firstJoin,
    people.lastLeave,
    round(present.netSeconds)::bigint as netSeconds,
    {{ share('present.netSeconds', 'meeting.heldSeconds') }} as attendedShare,
    {{ share('present.scheduledSeconds', 'epoch(meeting.scheduledEnd - meeting.scheduledStart)') }}
        as attendedShareOfSchedule,
    {{ seconds_after('people.firstJoin', 'meeting.scheduledStart') }} as lateSeconds,
    {{ seconds_after('meeting.scheduledEnd', 'people.lastLeave') }} as leftEarlySeconds,
    meeting.isFinal
from people
join {{ ref('meetings_held') }} as meeting using (date, meetingKey)
left join present using (date, meetingKey, attendeeKey)
