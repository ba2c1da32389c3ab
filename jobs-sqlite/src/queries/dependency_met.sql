-- These need not be waited for any more: ?1 of [parent, child].
delete from jobs_dependency
 where (parent, child) in (select unhex(value ->> 0), unhex(value ->> 1) from json_each(?1))
