//! What the compiler says about mistakes: a folder of programs for each sort, with the messages beside
//! them. `TRYBUILD=overwrite cargo test -p jobs --test it ui` writes the messages anew.

use std::process::Command;

/// The messages are those of this compiler; others word and place them a little differently.
const COMPILER: &str = "rustc 1.95.";

#[test]
fn mistakes_are_explained_at_their_place() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .expect("rustc runs");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    if !version.starts_with(COMPILER) {
        println!("skipped: the messages were written down with {COMPILER}x, this is {version}");
        return;
    }
    let programs = trybuild::TestCases::new();
    for folder in [
        "names",
        "options",
        "recurring",
        "rules",
        "signature",
        "types",
        "usage",
    ] {
        programs.compile_fail(format!("tests/ui/{folder}/*.rs"));
    }
    // What else could have been meant depends on the storages there are.
    if cfg!(all(feature = "postgres", feature = "sqlite")) {
        programs.compile_fail("tests/ui/storages/*.rs");
    }
}
