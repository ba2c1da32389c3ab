-- For whom jobs wait: ?1 of [parent, child, condition, is_batch, place].
insert into jobs_dependency (parent, child, condition, is_batch, place)
select unhex(value ->> 0), unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4 from json_each(?1)
