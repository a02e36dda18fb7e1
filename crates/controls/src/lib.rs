//! Facts and settings in, a verdict for each control out.
//!
//! A control is one rule that a bucket must keep: one file in `control/`, one entry in [`ALL`], one slug everywhere.
//! [`judge()`] applies those that the bucket's class requires. Nothing here reads, waits or can fail: a fact that could not
//! be read makes the outcome [`Outcome::Undetermined`].

mod catalogue;
mod class;
mod control;
#[cfg(test)]
mod example;
mod judge;
mod level;
mod outcome;
mod settings;

pub use catalogue::{ALL, Control};
pub use judge::{Judgement, Verdict, judge};
pub use level::Level;
pub use outcome::{Evidence, Outcome, Severity, Shortfall};
pub use settings::{Class, ClassName, Settings, SettingsError};
