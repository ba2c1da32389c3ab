-- Removes some jobs that say themselves how long they are kept, with their history: $1 how many at most.
select jobs.expire_by_own_word($1) as gone
