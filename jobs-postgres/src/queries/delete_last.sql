-- Deletes some of the last members of cancelled batches: $1 the batches, $2 and $3 the batch and the member before which to
-- look, $4 how many, $5 who, $6 why. Answers the first that it has looked at.
with chunk as materialized (
    select m.batch, m.member from jobs.batch_member m
     where m.batch = any ($1) and (m.batch, m.member) < ($2, $3)
     order by m.batch desc, m.member desc limit $4
), first as (
    select c.batch, c.member from chunk c order by c.batch, c.member limit 1
)
select f.batch, f.member, true as ruled, d.deleted, d.busy, d.held, d.queues, d.priorities
  from first f
 cross join jobs.delete_members(array(select c.member from chunk c order by c.member), false, $5, $6) d
