//! Several statements in a transaction of the application's own, all or none.

use sqlx::{Connection, SqliteConnection};

use crate::fault::Result;
use crate::writer::Doing;

/// Does `work` as a whole: when it fails, or its caller gives up in the middle, the transaction is as it was
/// before, and good for more. Without a transaction it gets one of its own.
///
/// Within a transaction that sqlx does not know of, because it was begun by a statement, a caller who gives
/// up in the middle must roll back.
pub(crate) async fn whole<T, F>(connection: &mut SqliteConnection, work: F) -> Result<T>
where
    F: for<'t> FnOnce(&'t mut SqliteConnection) -> Doing<'t, T> + Send,
    T: Send,
{
    if !connection.is_in_transaction() {
        // It may have been begun by a statement; there is no other way to find out.
        match execute(connection, "begin immediate").await {
            Ok(()) => execute(connection, "rollback").await?,
            Err(fault) if fault.is_nested() => return by_hand(connection, work).await,
            Err(fault) => return Err(fault),
        }
    }
    let mut tx = match connection.is_in_transaction() {
        true => connection.begin().await?,
        // It reads before it writes: without the right to write it could be refused in the middle.
        false => connection.begin_with("begin immediate").await?,
    };
    let done = work(&mut tx).await;
    match &done {
        Ok(_) => tx.commit().await?,
        Err(_) => tx.rollback().await?,
    }
    done
}

async fn execute(connection: &mut SqliteConnection, sql: &'static str) -> Result<()> {
    sqlx::query(sql).execute(connection).await?;
    Ok(())
}

async fn by_hand<T, F>(connection: &mut SqliteConnection, work: F) -> Result<T>
where
    F: for<'t> FnOnce(&'t mut SqliteConnection) -> Doing<'t, T> + Send,
    T: Send,
{
    execute(&mut *connection, "savepoint jobs_whole").await?;
    let done = work(&mut *connection).await;
    if done.is_err() {
        execute(&mut *connection, "rollback to jobs_whole").await?;
    }
    execute(&mut *connection, "release jobs_whole").await?;
    done
}
