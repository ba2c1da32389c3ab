-- Nobody has a ticket of queue ?1.
delete from jobs_ticket where queue = ?1
