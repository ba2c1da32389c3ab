-- Writes down what operators did to recurring jobs: $1 verb, $2 id, $3 until when it is paused, $4 who, $5 why.
insert into jobs.control_event (verb, scope, name, ends_at, actor, reason)
select x.verb, 'recurring', x.id, x.ends_at, x.actor, x.reason
  from unnest($1::text[], $2::text[], $3::timestamptz[], $4::text[], $5::text[]) with ordinality x (verb, id, ends_at, actor, reason, place)
 order by x.place
