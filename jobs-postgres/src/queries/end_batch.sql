-- Has a batch looked at: $1.
insert into jobs.batch_delta (batch) values ($1)
