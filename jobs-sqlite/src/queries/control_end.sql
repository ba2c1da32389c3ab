-- Takes back what workers were told of scope ?1 and name ?2; with ?3 of all names that begin with it.
delete from jobs_control
 where scope = ?1 and (name = ?2 or substr(name, 1, length(?3)) = ?3)
