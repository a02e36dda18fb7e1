//! Fuzzes `Policy::allowed`: never a panic, and no grant once everything is refused.
#![no_main]

use arbitrary::Unstructured;
use iam_policy::Policy;
use iam_policy_fuzz::{closed, requests, text};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = text(&mut Unstructured::new(data)) else { return };
    let Ok(policy) = text.parse::<Policy>() else { return };
    let _ = policy.allowed(&requests());
    if let Ok(grants) = closed(&text).allowed(&requests()) {
        assert!(grants.is_empty(), "{text}");
    }
});
