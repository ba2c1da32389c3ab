-- A batch, with what is not added up yet: $1 its id.
select b.name, b.parent, b.created_at, b.sealed_at, b.cancelled_at,
       case when b.total + d.total <= b.succeeded + d.succeeded + b.failed + d.failed + b.deleted + d.deleted then b.finished_at end as finished_at,
       b.total + d.total as total,
       b.succeeded + d.succeeded as succeeded, b.failed + d.failed as failed, b.deleted + d.deleted as deleted
  from jobs.batch b
 cross join (select coalesce(sum(total), 0)::bigint as total, coalesce(sum(succeeded), 0)::bigint as succeeded,
                    coalesce(sum(failed), 0)::bigint as failed, coalesce(sum(deleted), 0)::bigint as deleted
               from jobs.batch_delta where batch = $1) d
 where b.id = $1
