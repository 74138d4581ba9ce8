//! The one integration binary.

// expect-test writes the hashes; what is compared bit for bit is a value that was put in; a table of cases has a type.
#![allow(clippy::needless_raw_string_hashes, clippy::float_cmp, clippy::type_complexity)]

mod core;
mod faults;
mod judge;
mod measure;
mod real;
mod selftest;
mod support;
mod tidy;
