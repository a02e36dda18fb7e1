//! The table that holds the last committed state of every bucket, and of every account in a region.
//!
//! [`State`] reads and commits items, each of which is a row of its own ([`Row`]). A commit is a
//! [conditional write](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.ConditionalUpdate):
//! it takes place only over the version that was read. What an item means, and when it is committed, is decided elsewhere.
//!
//! | partition key `place` | sort key `item` | what it is |
//! |---|---|---|
//! | `aws/123456789012/us-east-1` | `bucket/acme-data` | a bucket |
//! | `aws/123456789012/us-east-1` | `place` | whether the account can be watched there |
//! | `aws/123456789012` | `region/us-east-1` | that the account has or had buckets there |
//! | `aws/123456789012` | `audited` | when a sweep last compared what Security Hub holds for the account with the state |
//! | `organization/999999999999` | `accounts` | the accounts that were active when the last sweep began, by the account of the hub |
//! | `organization/999999999999` | `departed/123456789012` | that the account left or was closed, and whether its findings are archived and its state is removed |

mod error;
mod key_index;
mod row;
mod table;

pub use error::StateError;
pub use key_index::KeyIndex;
pub use row::Row;
pub use table::{AccountState, Departure, State};
