//! A value that was read from AWS, or the reason why it could not be read.

/// A value that was read from AWS, or the reason why it could not be read.
///
/// "There is no such tag" is `Known(None)`. "Access was denied" is `Unreadable`. A control that
/// needs an unreadable fact cannot be determined. So there is deliberately no way to turn such a
/// fact into a default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact<T> {
    /// The value that was read.
    Known(T),
    /// The reason why the value could not be read.
    Unreadable(Unreadable),
}

impl<T> Fact<T> {
    /// Returns the value by reference.
    ///
    /// # Errors
    /// Returns the reason if the fact could not be read.
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

/// The reason why a fact could not be read: the permission, the subject and the answer of AWS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{permission}` on {subject}: {code}")]
pub struct Unreadable {
    /// The IAM action that the call needs, as a policy writes it: `s3:GetEncryptionConfiguration`.
    pub permission: &'static str,
    /// The subject of the call: `bucket acme-data`, or a key's ARN.
    pub subject: String,
    /// The error code of the answer: `AccessDenied`.
    pub code: String,
}
