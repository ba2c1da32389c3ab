-- Removes batches that were not completed in time: $1 how many members at most.
select jobs.remove_unsealed($1)
