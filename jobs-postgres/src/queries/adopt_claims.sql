-- Finds claims whose worker nobody knows any more.
select jobs.adopt_claims() as found
