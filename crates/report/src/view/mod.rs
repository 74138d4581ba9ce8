//! What every format shows: cells and sentences, made once.

pub mod background;
pub mod confirmation;
pub mod content;
pub mod further;
pub mod headline;
pub mod next;
pub mod saved;
pub mod usage;
pub mod words;
