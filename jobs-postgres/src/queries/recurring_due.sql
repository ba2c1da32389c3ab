-- What recurs and has to be looked at now, of the kinds $1, after the place ($2, $3) (null: from the first on), $4 at most;
-- and the first time after now.
with moment as materialized (select clock_timestamp() as now), due as (
    select r.look_at, r.id, r.record::text as record from jobs.recurring r
     where r.look_at <= (select now from moment) and r.kind = any ($1::text[])
       and ($2::timestamptz is null or (r.look_at, r.id) > ($2, $3))
     order by r.look_at, r.id
     limit $4
)
select m.now,
       (select r.look_at from jobs.recurring r where r.look_at > m.now and r.kind = any ($1::text[])
         order by r.look_at limit 1) as next,
       array(select id from due order by look_at, id) as ids,
       array(select record from due order by look_at, id) as records
  from moment m
