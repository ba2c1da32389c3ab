-- Who holds the keys ?1 (of [kind, key]) at ?2.
select u.kind, u.key, u.job_id
  from json_each(?1) x
 cross join jobs_unique_key u on u.kind = x.value ->> 0 and u.key = x.value ->> 1
 where u.expires_at is null or u.expires_at > ?2
