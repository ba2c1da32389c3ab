-- Notes which of the next jobs are nowhere: $1 of how many, $2 how old in seconds, $3 seconds between two rounds.
select looked, noted from jobs.look_for_lost($1, $2, $3)
