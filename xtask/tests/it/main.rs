//! The one integration binary.

mod core;
mod judge;
mod measure;
mod real;
mod support;
mod tidy;
