//! Everything the crate promises, a module per topic.

mod messages;
mod moments;
mod warnings;
mod words;
mod zones;

#[cfg(feature = "times")]
mod clock_changes;
#[cfg(feature = "times")]
mod cron_crate;
#[cfg(feature = "times")]
mod dialect;
#[cfg(feature = "times")]
mod due;
#[cfg(feature = "times")]
mod every;
#[cfg(feature = "times")]
mod jitter;
#[cfg(feature = "times")]
mod oracle;
#[cfg(feature = "times")]
mod properties;
#[cfg(feature = "times")]
mod years;
