-- Some jobs that are not final of a cancelled batch and those in it: $1 the batch, $2 the id after which to begin, $3 how many.
with recursive down (id) as (
    select $1::uuid
     union all
    select b.id from down join jobs.batch b on b.parent = down.id
)
select m.member
  from jobs.batch_member m join jobs.job j on j.id = m.member and j.state < 2
 where m.batch = any (array(select id from down)) and m.member > $2
 order by m.member limit $3
