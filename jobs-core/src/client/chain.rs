//! Jobs in a row: the result of each is the first argument of the next.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::settings::{Settings, Template};
use super::{Client, rules};
use crate::error::{Error, Result};
use crate::job::{ArgsError, Input, Job, JobId, NewJob, encode_args};

/// What can follow a job whose output is `Input`: a job whose one argument is of that type (`.then(&show)`),
/// or whose first one is, with the others given (`.then(report.with("title"))`). `#[job]` implements it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot follow a job whose output is `{Input}`",
    label = "its first argument is not `{Input}`, or it has more arguments",
    note = "the first argument of the next job must be exactly the output of the job before; give further arguments \
            with `next.with(second, third, ..)`"
)]
pub trait Then<Input> {
    /// The job that follows.
    type Job: Job;

    /// Its arguments without the first.
    fn partial(self) -> Partial<Self::Job, Input>;
}

/// A job all of whose arguments are known but the first, an `I`: made by `next.with(second, third, ..)`.
#[must_use = "give it to `.then(..)`"]
pub struct Partial<J, I> {
    first: &'static str,
    /// The other fields, as they stand in the object.
    others: Result<String, ArgsError>,
    job: PhantomData<fn(I) -> J>,
}

impl<J, I> Partial<J, I> {
    /// A job whose first argument is stored in this field.
    pub fn new(first: &'static str) -> Self {
        Self {
            first,
            others: Ok(String::new()),
            job: PhantomData,
        }
    }

    /// Adds an argument.
    pub fn field<T: Serialize + ?Sized>(mut self, name: &'static str, value: &T) -> Self {
        if let Ok(others) = &mut self.others {
            // The size is looked at when the client is known, which has a limit for it.
            match encode_args(&Field(name, value), usize::MAX) {
                Ok(text) => {
                    let separator = if others.is_empty() { "" } else { "," };
                    *others += separator;
                    *others += &text[1..text.len() - 1];
                }
                Err(error) => self.others = Err(error),
            }
        }
        self
    }
}

impl<J: Job, I> Then<I> for Partial<J, I> {
    type Job = J;

    fn partial(self) -> Self {
        self
    }
}

impl<J: Job, I> fmt::Debug for Partial<J, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Partial")
            .field("kind", &J::KIND)
            .field("others", &self.others)
            .finish()
    }
}

/// An object with one field.
struct Field<'a, T: ?Sized>(&'static str, &'a T);

impl<T: Serialize + ?Sized> Serialize for Field<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

/// A job of a chain, to be made once the id of the one before it is known.
type Link = Box<dyn FnOnce(&Client, Option<JobId>) -> Result<NewJob> + Send>;

/// One job, and those that come before it in its chain.
pub(super) struct Chain<J> {
    earlier: Vec<Link>,
    last: Spec<J>,
}

enum Spec<J> {
    Whole(J),
    /// The name of the first argument, and the others.
    Partial(&'static str, Result<String, ArgsError>),
}

impl<J: Job> Chain<J> {
    pub(super) fn of(job: J) -> Self {
        Self {
            earlier: Vec::new(),
            last: Spec::Whole(job),
        }
    }

    pub(super) fn then<N: Then<J::Output>>(self, settings: Settings, next: N) -> Chain<N::Job> {
        let Self { mut earlier, last } = self;
        earlier.push(Box::new(move |client, before| {
            last.job(settings, client, before)
        }));
        let Partial { first, others, .. } = next.partial();
        Chain {
            earlier,
            last: Spec::Partial(first, others),
        }
    }

    /// All its jobs, in order; the settings are those of the last.
    pub(super) fn jobs(self, settings: Settings, client: &Client) -> Result<Vec<NewJob>> {
        let mut jobs: Vec<NewJob> = Vec::with_capacity(self.earlier.len() + 1);
        for link in self.earlier {
            let before = jobs.last().map(|job| job.id);
            jobs.push(link(client, before)?);
        }
        let before = jobs.last().map(|job| job.id);
        jobs.push(self.last.job(settings, client, before)?);
        Ok(jobs)
    }
}

impl<J: Job> Spec<J> {
    fn job(self, settings: Settings, client: &Client, before: Option<JobId>) -> Result<NewJob> {
        let template = settings.complete::<J>()?;
        match (self, before) {
            (Self::Partial(field, others), Some(parent)) => {
                let field = field.to_owned();
                following::<J>(&template, client, others?, Input { parent, field })
            }
            (Self::Whole(job), _) => template.job(client, &job),
            (Self::Partial(..), None) => unreachable!("only what follows a job is partial"),
        }
    }
}

fn following<J: Job>(
    template: &Template,
    client: &Client,
    others: String,
    input: Input,
) -> Result<NewJob> {
    let args = format!("{{{others}}}");
    let limit = client.0.args_limit;
    if args.len() > limit {
        return Err(Error::Invalid(format!(
            "the arguments are too large: {} bytes of JSON, and the limit is {limit}: keep the data elsewhere and pass \
             where it is, or raise the limit",
            args.len()
        )));
    }
    let mut job = template.encoded(client, J::KIND, args, None).map_err(|error| match error {
        Error::Invalid(why) if why.starts_with(&format!("there is no argument `{}`", input.field)) => {
            Error::Invalid(format!(
                "the argument `{}` of `{}` is the result of the job before it, which is not known yet: no key can be \
                 made of it",
                input.field,
                J::KIND
            ))
        }
        other => other,
    })?;
    rules::add_input(job.rules.get_or_insert_default(), input);
    Ok(job)
}
