-- The versions of what recurs under the ids ?1, as far as it exists.
select r.id, r.version from json_each(?1) x cross join jobs_recurring r on r.id = x.value
