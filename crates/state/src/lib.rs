//! The table that holds the last committed state of every bucket, and of every account in a region.
//!
//! [`State`] reads and commits items, and each item is a row of its own ([`Row`]). A commit is a
//! [conditional
//! write](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.ConditionalUpdate):
//! it takes place only over the version that was read. Other crates decide what an item means and
//! when it is committed.
//!
//! | partition key `place` | sort key `item` | content |
//! |---|---|---|
//! | `aws/123456789012/us-east-1` | `bucket/acme-data` | a bucket |
//! | `aws/123456789012/us-east-1` | `place` | whether the account can be watched there |
//! | `aws/123456789012` | `region/us-east-1` | that the account has or had buckets there |
//! | `aws/123456789012` | `audited` | when a sweep last compared Security Hub with the state |
//! | `organization/999999999999` | `accounts` | the accounts active when the last sweep began |
//! | `organization/999999999999` | `departed/123456789012` | the departure of an account |
//!
//! In the last two rows, 999999999999 is the account of the hub. A departure says that an account
//! left or was closed. It also says whether its findings are archived and its state is removed.

mod accounts;
mod error;
mod key_index;
mod row;
mod table;

pub use accounts::{AccountState, Departure};
pub use error::StateError;
pub use key_index::KeyIndex;
pub use row::Row;
pub use table::State;
