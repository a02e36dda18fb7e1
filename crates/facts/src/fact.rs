//! Something that was read, or the reason why it could not be read.

/// Something that was read from AWS, or why it could not be.
///
/// "There is no such tag" is `Known(None)`; "access was denied" is `Unreadable`. A rule that needs an unreadable fact can
/// come to no verdict, so there is deliberately no way to turn one into a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// The facts.
    Known(T),
    /// Why it could not be read.
    Unreadable(Unreadable),
}

impl<T> Fact<T> {
    /// The value by reference, or why there is none.
    ///
    /// # Errors
    /// The reason, where the fact could not be read.
    pub fn known(&self) -> Result<&T, &Unreadable> {
        match self {
            Self::Known(value) => Ok(value),
            Self::Unreadable(why) => Err(why),
        }
    }

    /// Applies `change` to a value that was read.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Fact<U> {
        match self {
            Self::Known(value) => Fact::Known(change(value)),
            Self::Unreadable(why) => Fact::Unreadable(why),
        }
    }
}

/// Why something could not be read: what was asked, of what, and what AWS answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{permission}` on {subject}: {code}")]
pub struct Unreadable {
    /// The IAM action that the call needs, as a policy writes it: `s3:GetEncryptionConfiguration`.
    pub permission: &'static str,
    /// What was asked about: `bucket acme-data`, or a key's ARN.
    pub subject: String,
    /// The error code of the answer: `AccessDenied`.
    pub code: String,
}
