//! Schedules for `jobs`: a cron dialect that says what it means, and its times.
