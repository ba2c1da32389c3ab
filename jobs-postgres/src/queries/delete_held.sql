-- Deletes members of cancelled batches that workers have: $1 the batches, $2 how many, $3 who, $4 why.
select null::uuid as batch, null::uuid as member, true as ruled, deleted, busy, held, queues, priorities
  from jobs.delete_members(array(
           select j.id from jobs.claim c
            cross join lateral unnest(c.job_ids, c.runs) x (id, run)
             join jobs.job j on j.id = x.id and j.run = x.run and j.state = 0
            where exists (select from jobs.batch_member m where m.member = x.id and m.batch = any ($1))
            order by 1 limit $2), false, $3, $4)
