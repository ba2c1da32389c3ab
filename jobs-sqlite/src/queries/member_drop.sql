-- Nobody is a member of the batches ?1 (ids).
delete from jobs_member where batch in (select unhex(value) from json_each(?1))
