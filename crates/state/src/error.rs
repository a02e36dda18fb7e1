//! Errors of calls to the table.

use std::error::Error;

/// A call to the table that failed, or an item that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The call failed.
    #[error("{permission} on table {table} failed")]
    Call {
        /// The IAM action of the call.
        permission: &'static str,
        /// The name of the table.
        table: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The item cannot be turned into attributes.
    #[error("the item cannot be written")]
    Write(#[from] serde_dynamo::Error),
}
