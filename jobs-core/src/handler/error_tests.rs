use std::io;

use super::*;

const ENTRY: JobEntry = JobEntry {
    kind: "fetch",
    aliases: &[],
    file: file!(),
    line: line!(),
    module: module_path!(),
    defaults: crate::job::JobDefaults::NONE,
    blocking: false,
    arguments: &[],
    requires: Vec::new,
    retry_if: None,
    recurring: &[],
    perform: |_| Box::pin(std::future::pending()),
};

#[derive(Debug)]
struct FetchError(io::Error);

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fetching failed")
    }
}

impl Error for FetchError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// As `#[error(transparent)] Job(#[from] Directive)` makes it.
#[derive(Debug)]
struct Transparent(Directive);

impl fmt::Display for Transparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Transparent {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused")
}

fn failure(error: impl Into<JobError>, entry: &JobEntry) -> Failure {
    match error.into().into_outcome(entry) {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_about_an_error_is_kept() {
    let line = line!() + 2;
    let fails = || -> Result<(), JobError> {
        Err(FetchError(refused()))?;
        Ok(())
    };
    let report = failure(fails().unwrap_err(), &ENTRY).report;
    assert_eq!(report.message, "fetching failed");
    assert_eq!(report.causes, ["connection refused"]);
    assert!(report.type_name.unwrap().ends_with("::FetchError"));
    let place = format!("{}:{line}:", file!());
    assert!(
        report
            .location
            .as_deref()
            .is_some_and(|location| location.starts_with(&place))
    );
}

#[test]
fn text_and_boxes_have_no_type_worth_telling() {
    let boxed: Box<dyn Error + Send + Sync> = refused().into();
    for error in [
        JobError::from("text"),
        String::from("text").into(),
        boxed.into(),
    ] {
        assert_eq!(error.report().type_name, None, "{error:?}");
    }
}

#[test]
fn an_error_without_wishes_is_left_to_the_policy() {
    let failure = failure(refused(), &ENTRY);
    assert_eq!(
        (failure.how, failure.advice),
        (AttemptOutcome::Failed, Advice::Policy)
    );
}

#[test]
fn directives_are_found_wherever_they_are() {
    let wait = Duration::from_secs(600);
    let boxed: Box<dyn Error + Send + Sync> = Transparent(JobError::retry_after(wait)).into();
    let wrapped = io::Error::other(Transparent(JobError::retry_after(wait)));
    let errors = [
        JobError::from(JobError::retry_after(wait)),
        Transparent(JobError::retry_after(wait)).into(),
        boxed.into(),
        wrapped.into(),
    ];
    for error in errors {
        let failure = failure(error, &ENTRY);
        assert_eq!(failure.advice, Advice::RetryAfter(wait));
        assert_eq!(
            failure.report.to_string(),
            "asked to be tried again in 10 min"
        );
    }
}

#[test]
fn a_discard_ends_it_with_its_reason() {
    let failure = failure(JobError::discard("no such user"), &ENTRY);
    assert_eq!(failure.how, AttemptOutcome::Discarded);
    assert_eq!(
        failure.advice,
        Advice::GiveUp("Discarded: no such user".into())
    );
    assert_eq!(failure.report.message, "no such user");
    // Nor does a reason hold what no database keeps: it would be replaced by one that says nothing.
    let failure = self::failure(JobError::discard("no\0such user"), &ENTRY);
    let reason = "Discarded: no\u{2400}such user";
    assert_eq!(failure.advice, Advice::GiveUp(reason.into()));
}

#[test]
fn a_snooze_is_no_failure() {
    let wait = Duration::from_secs(5);
    let outcome = JobError::from(JobError::snooze(wait)).into_outcome(&ENTRY);
    assert!(
        matches!(outcome, Outcome::Snoozed { delay } if delay == wait),
        "{outcome:?}"
    );
}

#[test]
fn retry_if_looks_into_the_chain() {
    fn refused_only(error: &JobError) -> bool {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        kind == Some(io::ErrorKind::ConnectionRefused)
    }
    let entry = JobEntry {
        retry_if: Some(refused_only),
        ..ENTRY
    };
    assert_eq!(
        failure(FetchError(refused()), &entry).advice,
        Advice::Policy
    );
    let failure = failure(FetchError(io::ErrorKind::NotFound.into()), &entry);
    assert_eq!(failure.how, AttemptOutcome::Failed);
    assert_eq!(
        failure.advice,
        Advice::GiveUp("Not retried, as its `retry_if` says: fetching failed".into())
    );
}

#[test]
fn retry_if_does_not_overrule_a_directive() {
    let entry = JobEntry {
        retry_if: Some(|_| false),
        ..ENTRY
    };
    let wait = Duration::from_secs(1);
    assert_eq!(
        failure(JobError::retry_after(wait), &entry).advice,
        Advice::RetryAfter(wait)
    );
}

#[test]
fn an_error_that_causes_itself_ends() {
    #[derive(Debug)]
    struct Endless;
    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("endless")
        }
    }
    impl Error for Endless {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self)
        }
    }
    assert_eq!(failure(Endless, &ENTRY).advice, Advice::Policy);
}

#[cfg(feature = "anyhow")]
mod anyhow {
    use ::anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn what_is_inside_is_seen() {
        let error = ::anyhow::Error::new(FetchError(refused())).context("at dawn");
        let error = JobError::from(error);
        assert!(error.is::<FetchError>() && error.is::<io::Error>());
        let report = error.report();
        assert_eq!(
            report.to_string(),
            "at dawn: fetching failed: connection refused"
        );
        assert_eq!(report.type_name, None);
    }

    #[test]
    fn directives_are_found_under_context() {
        let fails = || -> ::anyhow::Result<()> { Err(JobError::discard("gone"))? };
        let error = fails().context("one").context("two").unwrap_err();
        let failure = failure(error, &ENTRY);
        assert_eq!(failure.advice, Advice::GiveUp("Discarded: gone".into()));
        assert_eq!(failure.report.to_string(), "two: one: gone");
        assert_eq!(
            super::failure(anyhow!("plain"), &ENTRY).report.to_string(),
            "plain"
        );
    }
}
