//! How a command ended.

use std::fmt;

use anyhow::{Error, Result};
use judge::model::text::error_line;
use report::Unjudged;

use crate::sys::process::{Failure, Interrupted};

#[expect(clippy::large_enum_variant, reason = "a command has one outcome")]
pub enum Outcome {
    /// The report is printed.
    Judged {
        exit_code: u8,
    },
    /// Nothing was to be judged. The text is for stdout.
    Done(String),
    /// A search ended without its commit. The text is for stdout.
    NotFound(String),
    /// Nothing was judged. `log_tail` is the end of the log of the program that failed, or empty.
    Unjudged {
        unjudged: Unjudged,
        log_tail: String,
    },
    ReportMissing(String),
    Interrupted(Interrupted),
}

/// Marks the error of a report file.
#[derive(Debug)]
pub struct AfterVerdict;

impl fmt::Display for AfterVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the verdict above stands, but a report of it is missing")
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Outcome {
        let error = match error.downcast::<Interrupted>() {
            Ok(interrupted) => return Outcome::Interrupted(interrupted),
            Err(error) => error,
        };
        let reason = error_line(&error);
        if error.is::<AfterVerdict>() {
            return Outcome::ReportMissing(reason);
        }
        let log_tail = error.downcast_ref::<Failure>().map_or_else(String::new, |failure| failure.tail.clone());
        Outcome::Unjudged { unjudged: Unjudged::NoVerdict(reason), log_tail }
    }
}

impl From<Result<Outcome>> for Outcome {
    fn from(result: Result<Outcome>) -> Outcome {
        result.unwrap_or_else(Outcome::from)
    }
}

impl From<Unjudged> for Outcome {
    fn from(unjudged: Unjudged) -> Outcome {
        Outcome::Unjudged { unjudged, log_tail: String::new() }
    }
}

impl Outcome {
    /// 0 is a pass, 1 a regression, 2 no verdict.
    pub fn exit_code(&self) -> u8 {
        match self {
            Outcome::Judged { exit_code } => *exit_code,
            Outcome::Done(_) => 0,
            Outcome::Unjudged { unjudged, .. } => unjudged.exit_code(),
            Outcome::NotFound(_) | Outcome::ReportMissing(_) => 2,
            Outcome::Interrupted(Interrupted { signal }) => 128 + signal,
        }
    }
}
