//! Arguments and results as JSON text: exactly what was meant, or an error that says where it is not.

mod check;

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use check::{Checked, Context};

/// The most that the arguments of one job, or its result, may take by default: 1 MiB of JSON text.
pub const ARGS_LIMIT: usize = 1 << 20;

/// Why a value cannot be the arguments, or the result, of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgsError(String);

impl fmt::Display for ArgsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ArgsError {}

/// The arguments of a job as the text of one JSON object, of at most `limit` bytes.
///
/// What JSON or a database would refuse, or change without a word, is an error that names the
/// argument: NaN and infinity, NUL characters, keys that are no strings. Integers of every width and
/// decimals are exact. A unit struct becomes `{}`.
///
/// ```
/// # use jobs_core::job::{ARGS_LIMIT, encode_args};
/// #[derive(serde::Serialize)]
/// struct Rate { user: i64, scores: Vec<f64> }
///
/// let good = Rate { user: 1, scores: vec![0.5] };
/// assert_eq!(encode_args(&good, ARGS_LIMIT).unwrap(), r#"{"user":1,"scores":[0.5]}"#);
///
/// let bad = Rate { user: 1, scores: vec![0.5, f64::NAN] };
/// let error = encode_args(&bad, ARGS_LIMIT).unwrap_err().to_string();
/// assert!(error.starts_with("argument `scores[1]` is NaN"), "{error}");
/// ```
pub fn encode_args<T: Serialize + ?Sized>(args: &T, limit: usize) -> Result<String, ArgsError> {
    const SUBJECT: Subject = Subject {
        whole: "the arguments",
        part: "argument",
        be: "are",
    };
    let context = Context::new(limit);
    let text = encode(args, &context, &SUBJECT)?;
    if text.starts_with('{') {
        return Ok(text);
    }
    if context.is_unit_struct() {
        return Ok("{}".into());
    }
    let found: String = text.chars().take(40).collect();
    Err(ArgsError(format!(
        "the arguments of a job must be a JSON object, with a field for each argument, not `{found}`: \
         use a struct with named fields"
    )))
}

/// What a job returned, as JSON text of at most `limit` bytes; `None` if that is `null`, as for `()`.
///
/// The same values are refused as in [`encode_args`].
///
/// ```
/// # use jobs_core::job::{ARGS_LIMIT, encode_result};
/// assert_eq!(encode_result(&[1, 2], ARGS_LIMIT).unwrap().as_deref(), Some("[1,2]"));
/// assert_eq!(encode_result(&(), ARGS_LIMIT).unwrap(), None);
/// assert!(encode_result(&f32::INFINITY, ARGS_LIMIT).is_err());
/// ```
pub fn encode_result<T: Serialize + ?Sized>(
    result: &T,
    limit: usize,
) -> Result<Option<String>, ArgsError> {
    const SUBJECT: Subject = Subject {
        whole: "the result",
        part: "the result's",
        be: "is",
    };
    let text = encode(result, &Context::new(limit), &SUBJECT)?;
    Ok((text != "null").then_some(text))
}

/// Reads what [`encode_args`] wrote.
///
/// ```
/// # use jobs_core::job::decode_args;
/// #[derive(serde::Deserialize)]
/// struct Tick;
///
/// decode_args::<Tick>("{}").unwrap();
/// ```
pub fn decode_args<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text).or_else(|error| match text {
        // A unit struct is `{}` among objects, but serde reads it from `null` alone.
        "{}" => serde_json::from_str("null").map_err(|_| error),
        _ => Err(error),
    })
}

/// Reads what [`encode_result`] wrote.
pub fn decode_result<T: DeserializeOwned>(text: Option<&str>) -> serde_json::Result<T> {
    serde_json::from_str(text.unwrap_or("null"))
}

/// How messages call the value.
struct Subject {
    whole: &'static str,
    part: &'static str,
    be: &'static str,
}

fn encode<T: Serialize + ?Sized>(
    value: &T,
    context: &Context,
    subject: &Subject,
) -> Result<String, ArgsError> {
    let Subject { whole, part, be } = subject;
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = serde_json::Serializer::new(context.writer(&mut bytes));
    if let Err(error) = value.serialize(Checked::whole(&mut serializer, context)) {
        let (path, problem) = context.problem(&error);
        return Err(ArgsError(match path.as_str() {
            "" => format!("{whole} {}", problem.replacen("is ", &format!("{be} "), 1)),
            path => format!("{part} `{path}` {problem}"),
        }));
    }
    if let Some(largest) = context.too_large() {
        let (limit, written) = context.sizes();
        let largest = match largest.as_str() {
            "" => String::new(),
            path => format!(" (most of it in {part} `{path}`)"),
        };
        return Err(ArgsError(format!(
            "{whole} {be} too large: {written} bytes of JSON{largest}, and the limit is {limit}: keep the data \
             elsewhere and pass where it is, or raise the limit"
        )));
    }
    Ok(String::from_utf8(bytes).expect("serde_json writes UTF-8"))
}

#[cfg(test)]
mod tests;
