//! The core of `jobs`: what a job is, how it lives, and the worker that runs it; storages plug in below.
