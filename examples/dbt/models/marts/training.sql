with attended as (
    select
        training.seriesId,
        training.atLeast,
        attendance.personKey,
        attendance.date,
        coalesce(attendance.attendedShareOfSchedule, attendance.attendedShare) as share
    from {{ ref('trainings') }} as training
    join {{ ref('attendance') }} as attendance using (seriesId)
),

best as (
    select
        seriesId,
        personKey,
        max(share) as share,
        min(date) filter (where share >= atLeast) as passedOn
    from attended
    group by all
)

select
    roster.seriesId,
    training.title,
    roster.personKey,
    roster.displayName,
    roster.department,
    best.share,
    best.passedOn,
    case
        when best.passedOn is not null then 'passed'
        when best.personKey is not null then 'tooShort'
        else 'absent'
    end as result
from {{ ref('roster') }} as roster
join {{ ref('trainings') }} as training using (seriesId)
left join best on best.seriesId = roster.seriesId and best.personKey = lower(roster.personKey)
