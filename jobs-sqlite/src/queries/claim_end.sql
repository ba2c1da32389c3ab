-- Ends the claims ?1 (ids), whose jobs were given back in the same transaction.
delete from jobs_claim where id in (select unhex(value) from json_each(?1))
