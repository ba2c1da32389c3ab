-- Looks at children of final parents that were left: $1 how many parents.
select parents, false as ruled, queues, priorities from jobs.work_off($1)
