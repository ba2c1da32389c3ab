//! The tests of the whole, as its users see it: one program, a module for each topic.

mod macros;
