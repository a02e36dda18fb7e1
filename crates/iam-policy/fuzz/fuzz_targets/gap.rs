//! Fuzzes `Policy::gaps`: never a panic, no gap once everything is refused, and no grant for a
//! refused request.
#![no_main]

use arbitrary::Unstructured;
use iam_policy::Policy;
use iam_policy_fuzz::{closed, requests, text};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Ok(text) = text(&mut Unstructured::new(data)) else { return };
    let Ok(policy) = text.parse::<Policy>() else { return };
    if let (Ok(gaps), Ok(grants)) = (policy.gaps(&requests()), policy.allowed(&requests())) {
        assert!(grants.iter().all(|grant| gaps[grant.request].is_some()), "{text}");
    }
    if let Ok(gaps) = closed(&text).gaps(&requests()) {
        assert!(gaps.iter().all(Option::is_none), "{text}");
    }
});
