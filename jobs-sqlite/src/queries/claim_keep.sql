-- What worker ?2 has taken under claim ?1. A crash of the machine may undo a claim; then its tickets are
-- back as well.
insert into jobs_claim (id, worker, claimed_at, jobs) values (?1, ?2, ?3, ?4)
