//! The second look at a FAIL by the stored numbers, which are of another hour and mostly of another machine.

use judge::verdict::compare::Comparison;

/// What became of a FAIL by the stored numbers that was to be confirmed.
#[derive(Clone)]
pub enum Confirmation<'a> {
    /// The baseline's own commit was measured in turn with this tree. The report is about these rounds, which decide.
    Measured(Stored<'a>),
    /// That was not possible, for this reason, so the FAIL stands.
    Impossible(String),
}

/// The comparison with the stored numbers, whose verdict was FAIL.
#[derive(Clone)]
pub struct Stored<'a> {
    /// The comparison itself.
    pub comparison: &'a Comparison<'a>,
    /// The origin of the numbers, as a sentence.
    pub baseline: String,
}
