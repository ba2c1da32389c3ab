-- Of the jobs ?1 (ids) those whose time is still up: an operator may have requeued one since.
select hex(j.id), j.state
  from json_each(?1) x cross join jobs_job j on j.id = unhex(x.value)
 where iif(j.keep_for is null,
           j.finished_at <= case j.state when 'succeeded' then ?3 when 'failed' then ?4
                                        when 'deleted' then ?5 end,
           j.finished_at + j.keep_for <= ?2)
   and j.state in ('succeeded', 'failed', 'deleted')
