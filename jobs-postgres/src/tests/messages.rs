//! What is told of an error that the server raised.

use std::error::Error as _;

use jobs_core::Error;
use jobs_core::job::Rules;
use jobs_core::storage::Storage;

use super::{new_job, test};

/// In a function, called by a function: the driver would tell of both, and name a line of the server's source.
const REFUSAL: &str = "
create function jobs.refuse() returns trigger language plpgsql as $fn$
begin
    raise exception 'there are too many jobs' using errcode = 'check_violation', hint = 'come back tomorrow', detail = new.args::text;
end
$fn$;
create trigger refused before insert on jobs.job for each row execute function jobs.refuse();
";

/// All that anybody could print of it.
fn everything(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(" {cause} {cause:?}");
        source = cause.source();
    }
    text
}

#[test]
fn a_message_is_what_was_said_and_no_more() {
    test(|home| async move {
        let storage = home.storage().await;
        let mut connection = home.connection().await;
        let install = sqlx::raw_sql(home.sql(REFUSAL)).execute(&mut connection);
        install.await.unwrap();
        let mut ruled = new_job();
        ruled.rules = Some(Box::new(Rules::default()));
        for job in [new_job(), ruled] {
            let error = storage.insert(&[job]).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "store a job of kind add: refused: there are too many jobs (come back tomorrow)"
            );
            assert!(matches!(error, Error::Rejected { .. }));
            let everything = everything(&error);
            for noise in ["at line", "PL/pgSQL", "pl_exec", "error returned from"] {
                assert!(!everything.contains(noise), "{noise}: {everything}");
            }
            // What it was about is a row's content, and is nobody's business but the log's.
            assert!(!everything.contains("-0.0"), "{everything}");
            assert!(everything.contains("SQLSTATE 23514"), "{everything}");
        }
    });
}
