-- Deletes members of a cancelled batch: $1 ids in ascending order, $2 whether to wait for those that somebody has locked,
-- $3 who, $4 why.
select null::uuid as batch, null::uuid as member, true as ruled, deleted, busy, held, queues, priorities
  from jobs.delete_members($1, $2, $3, $4)
