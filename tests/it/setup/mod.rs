//! What the tests stand on: a place with a storage of its own, workers in this process and in others,
//! a record of what jobs did, and patience.

mod effects;
mod log;

mod patience;
mod place;
mod process;
mod proxy;
mod server;

pub(crate) use effects::Effects;
pub(crate) use patience::{PATIENCE, until};
pub(crate) use place::{Kind, Place, on, run};
pub(crate) use process::{Orders, QUICK, WorkerProcess};
pub(crate) use proxy::Proxy;
pub(crate) use server::Server;

/// Whether the long runs were asked for (`./test --long`).
pub(crate) fn long() -> bool {
    std::env::var_os("JOBS_TEST_LONG").is_some_and(|value| value == "1")
}

/// Runs a test on each of these storages, as a test of its own: `on_each!(name: memory, sqlite)` calls
/// `async fn name(place: &Place)`.
macro_rules! on_each {
    ($test:ident: $($storage:ident),+) => {
        mod $test {
            $(
                #[test]
                fn $storage() {
                    $crate::setup::on(&[$crate::setup::Kind::$storage], super::$test);
                }
            )+
        }
    };
}

/// Runs a test on all of these storages at the same time, as one test: for those that mostly wait.
macro_rules! on_all {
    ($test:ident: $($storage:ident),+) => {
        mod $test {
            #[test]
            fn everywhere() {
                $crate::setup::on(&[$($crate::setup::Kind::$storage),+], super::$test);
            }
        }
    };
}

pub(crate) use {on_all, on_each};
