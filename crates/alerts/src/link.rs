//! Links into the consoles of AWS.

use facts::{BucketId, Region};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The characters that are encoded in a URL: all but those that need [no
/// encoding](https://datatracker.ietf.org/doc/html/rfc3986#section-2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the link to one finding in Security Hub of the home region.
pub(crate) fn finding(home: &Region, id: &str) -> String {
    findings(home, &[("Id", id)])
}

/// Returns the link to all active findings of cmkwatch with the workflow status NEW.
pub(crate) fn open_findings(home: &Region) -> String {
    findings(
        home,
        &[("ProductName", "cmkwatch"), ("RecordState", "ACTIVE"), ("WorkflowStatus", "NEW")],
    )
}

/// Returns a link with filters, in the format of the console. Each value is encoded twice. AWS does
/// not document the format.
fn findings(home: &Region, filters: &[(&str, &str)]) -> String {
    let filter = |(name, value): &(&str, &str)| {
        format!("{name}={}", encode(&format!("\\operator\\:EQUALS\\:{value}")))
    };
    let search = filters.iter().map(filter).collect::<Vec<_>>().join("&");
    format!(
        "https://{}/securityhub/home?region={home}#/findings?search={}",
        console(home),
        encode(&search)
    )
}

/// Returns the link to the properties of a bucket.
pub(crate) fn bucket(bucket: &BucketId) -> String {
    let region = bucket.region();
    format!(
        "https://{}/s3/buckets/{}?region={region}&tab=properties",
        console(region),
        encode(bucket.name().as_str())
    )
}

/// Returns the host of the console. [Each
/// partition](https://docs.aws.amazon.com/whitepapers/latest/aws-fault-isolation-boundaries/partitions.html)
/// has its own domain.
fn console(region: &Region) -> String {
    let domain = match region.partition() {
        "aws-cn" => "amazonaws.cn",
        "aws-us-gov" => "amazonaws-us-gov.com",
        "aws-eusc" => "amazonaws-eusc.eu",
        _ => "aws.amazon.com",
    };
    format!("{region}.console.{domain}")
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_to_a_finding_filters_by_its_id() {
        let home = "eu-west-1".parse().unwrap();
        assert_eq!(
            finding(&home, "cmkwatch/aws/1/x"),
            "https://eu-west-1.console.aws.amazon.com/securityhub/home?region=eu-west-1#/findings?search=\
             Id%3D%255Coperator%255C%253AEQUALS%255C%253Acmkwatch%252Faws%252F1%252Fx"
        );
        assert!(
            open_findings(&home)
                .ends_with("%26WorkflowStatus%3D%255Coperator%255C%253AEQUALS%255C%253ANEW")
        );
    }

    #[test]
    fn the_link_to_a_bucket_uses_the_console_of_its_partition() {
        for (region, host) in [
            ("us-east-1", "us-east-1.console.aws.amazon.com"),
            ("us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
            ("cn-north-1", "cn-north-1.console.amazonaws.cn"),
        ] {
            let id = BucketId::new(
                "111111111111".parse().unwrap(),
                region.parse().unwrap(),
                "acme".parse().unwrap(),
            );
            let expected = format!("https://{host}/s3/buckets/acme?region={region}&tab=properties");
            assert_eq!(bucket(&id.unwrap()), expected);
        }
    }
}
