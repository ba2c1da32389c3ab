//! Nothing is built here: Cargo wants a build script beside `links`, and `links` is what keeps two
//! versions of the job registry out of one program.
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
}
