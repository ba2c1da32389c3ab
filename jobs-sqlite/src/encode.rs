//! Batches as JSON arrays of arrays, which `json_each` turns into rows: one statement and one trip to the
//! driver's thread for any number of jobs.

use std::io;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::ser::{SerializeSeq, Serializer};
use serde_json::ser::{CharEscape, CompactFormatter, Formatter};
use uuid::Uuid;

use crate::fault::{Fault, Result};

/// The rows as the text of one JSON array.
pub(crate) fn rows<T: Serialize>(rows: impl IntoIterator<Item = T>) -> Result<String> {
    let mut text = Vec::with_capacity(256);
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, WithoutNul);
    let write = || -> serde_json::Result<()> {
        let mut array = serializer.serialize_seq(None)?;
        for row in rows {
            array.serialize_element(&row)?;
        }
        array.end()
    };
    write().map_err(|error| Fault::Refused(error.to_string()))?;
    String::from_utf8(text).map_err(|error| Fault::Refused(error.to_string()))
}

/// JSON without NUL characters: SQLite would silently end a text at the first one.
struct WithoutNul;

impl Formatter for WithoutNul {
    fn write_char_escape<W: io::Write + ?Sized>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        match escape {
            CharEscape::AsciiControl(0) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "SQLite cannot keep a text with a NUL character in it",
            )),
            escape => CompactFormatter.write_char_escape(writer, escape),
        }
    }
}

/// A UUID as `unhex()` takes it.
#[derive(Clone, Copy)]
pub(crate) struct Hex(pub(crate) Uuid);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.simple().encode_lower(&mut Uuid::encode_buffer()))
    }
}

/// Ids as the text of one JSON array.
pub(crate) fn ids(ids: impl IntoIterator<Item = Uuid>) -> Result<String> {
    rows(ids.into_iter().map(Hex))
}

/// Microseconds since 1970, as every time is stored.
pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// The time that was stored as these microseconds; the far end of the calendar for what lies beyond it.
pub(crate) fn time(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).unwrap_or(if micros < 0 {
        DateTime::<Utc>::MIN_UTC
    } else {
        DateTime::<Utc>::MAX_UTC
    })
}

/// A duration in microseconds.
pub(crate) fn span(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
