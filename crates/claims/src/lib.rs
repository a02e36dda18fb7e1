//! The table that holds which alerts were sent, and who is sending them.
//!
//! Each finding that was alerted has one row: the latest change that was decided, and what people know by it. A run that is about to send a message
//! claims it by a [conditional
//! write](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html#WorkingWithItems.ConditionalUpdate),
//! sends it, and records that it was sent. So two runs, or an event that is delivered twice, do not send it twice. Only if a run
//! dies between sending and recording, or the answer to either is lost, the message may be sent again.
//!
//! Rows expire 35 days after the last decision, by DynamoDB's
//! [time to live](https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/TTL.html). A change that is older than 30 days is
//! never alerted, so an expired row is not missed.

mod row;
mod table;

pub use table::{Claimed, Claims, ClaimsError};
