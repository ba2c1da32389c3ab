-- Whether it is time to see to what nobody asks for: $1 every how many seconds, $2 the same of what is done less often.
select due, claims_due from jobs.begin_care($1, $2)
