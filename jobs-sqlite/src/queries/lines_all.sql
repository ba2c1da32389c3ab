-- Every line in which somebody is due.
select distinct limit_name, key from jobs_blocked where ready = 1
