//! Converts findings to the types of the Security Hub API, and back.
//!
//! Severity and type are in `FindingProviderFields`, so that [those of an analyst
//! survive](https://docs.aws.amazon.com/securityhub/latest/userguide/finding-update-batchimportfindings.html).
//! The fields hold the values that cmkwatch imported last, and they are read from there.

use crate::PublishError;
use aws_sdk_securityhub::types::{
    AwsSecurityFinding, Compliance as AsffCompliance, ComplianceStatus, FindingProviderFields,
    FindingProviderSeverity, Partition, Recommendation, RecordState as AsffRecordState,
    Remediation, Resource as AsffResource, SeverityLabel, StatusReason, Workflow as AsffWorkflow,
    WorkflowStatus,
};
use controls::Severity;
use facts::Place;
use findings::{
    About, Compliance, Finding, Held, ProductFields, Reason, RecordState, Resource, Slug, Summary,
    TYPE, Workflow, fields,
};
use jiff::Timestamp;
use std::collections::HashMap;

/// The product and company name with which Security Hub shows the findings.
const PRODUCT: &str = "cmkwatch";

/// Returns the ARN of the [default
/// product](https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-custom-providers.html)
/// of an account in a region.
pub(crate) fn product_arn(Place { account, region }: &Place) -> String {
    format!("arn:{}:securityhub:{region}:{account}:product/{account}/default", region.partition())
}

/// Converts a finding to the form in which it is imported.
pub(crate) fn to_asff(finding: &Finding) -> AwsSecurityFinding {
    AwsSecurityFinding::builder()
        .schema_version("2018-10-08")
        .id(finding.id())
        .product_arn(product_arn(&finding.stored_in))
        .product_name(PRODUCT)
        .company_name(PRODUCT)
        .generator_id(format!("cmkwatch/{}", finding.slug))
        .aws_account_id(finding.stored_in.account.as_str())
        .title(&finding.title)
        .description(&finding.description)
        .created_at(finding.created_at.to_string())
        .updated_at(finding.updated_at.to_string())
        .first_observed_at(finding.first_observed_at.to_string())
        .last_observed_at(finding.updated_at.to_string())
        .finding_provider_fields(provider_fields(finding))
        .compliance(compliance(finding))
        .remediation(remediation(finding))
        .set_resources(Some(
            finding
                .resources
                .iter()
                .map(|resource| to_resource(resource, &finding.about.place()))
                .collect(),
        ))
        .set_product_fields(Some(product_fields(finding)))
        .record_state(match finding.record_state {
            RecordState::Active => AsffRecordState::Active,
            RecordState::Archived => AsffRecordState::Archived,
        })
        .workflow(AsffWorkflow::builder().status(to_workflow(finding.workflow)).build())
        .build()
}

fn provider_fields(finding: &Finding) -> FindingProviderFields {
    let label = SeverityLabel::from(finding.severity.as_str());
    FindingProviderFields::builder()
        .severity(FindingProviderSeverity::builder().label(label).build())
        .types(TYPE)
        .build()
}

fn compliance(finding: &Finding) -> AsffCompliance {
    let reason = |reason: &Reason| {
        StatusReason::builder().reason_code(&reason.code).description(&reason.description).build()
    };
    let reasons: Vec<_> = finding.reasons.iter().map(reason).collect();
    AsffCompliance::builder()
        .status(ComplianceStatus::from(finding.compliance.as_str()))
        .set_related_requirements(
            Some(finding.requirements.clone()).filter(|list| !list.is_empty()),
        )
        .set_status_reasons(Some(reasons).filter(|list| !list.is_empty()))
        .build()
}

fn remediation(finding: &Finding) -> Remediation {
    let recommendation =
        Recommendation::builder().text(&finding.remediation).url(&finding.reference).build();
    Remediation::builder().recommendation(recommendation).build()
}

/// Returns the product fields of a finding. They name the owner if the finding is not stored in the
/// owner's account and region.
fn product_fields(finding: &Finding) -> HashMap<String, String> {
    let owner = finding.about.place();
    let elsewhere = owner != finding.stored_in;
    let named = [
        (fields::OWNER_ACCOUNT, owner.account.to_string()),
        (fields::OWNER_REGION, owner.region.to_string()),
    ];
    let named = named.into_iter().filter(|_| elsewhere).map(|(key, value)| (key.to_owned(), value));
    // "NonEmptyString": Security Hub refuses a whole finding for one blank value.
    let fingerprint = Some(finding.fingerprint.clone()).filter(|it| !it.trim().is_empty());
    let fingerprint = fingerprint.map(|fingerprint| (fields::FINGERPRINT.to_owned(), fingerprint));
    finding.product_fields.to_map().into_iter().chain(fingerprint).chain(named).collect()
}

fn fingerprint(fields: &HashMap<String, String>) -> String {
    fields.get(fields::FINGERPRINT).cloned().unwrap_or_default()
}

/// Returns the partition of a resource, or `None` if the
/// [enum](https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_Resource.html) of the API
/// lacks it. The enum lacks the partition of the European Sovereign Cloud, for example.
fn partition(place: &Place) -> Option<Partition> {
    let name = place.region.partition();
    Partition::values().contains(&name).then(|| Partition::from(name))
}

/// Converts a resource. Its region is that of its ARN, because a key may be in another region than
/// the bucket. The ARN of a bucket has no region, so `place` names it.
fn to_resource(resource: &Resource, place: &Place) -> AsffResource {
    let region = resource.arn().split(':').nth(3).filter(|region| !region.is_empty());
    AsffResource::builder()
        .r#type(resource.kind())
        .id(resource.arn())
        .set_partition(partition(place))
        .region(region.unwrap_or(place.region.as_str()))
        .build()
}

/// Returns the workflow status as a type of the API.
pub(crate) fn to_workflow(workflow: Workflow) -> WorkflowStatus {
    WorkflowStatus::from(workflow.as_str())
}

/// Reads a finding that the Security Hub of `place` stores. Returns an error if it does not have
/// the form that cmkwatch writes.
pub(crate) fn from_asff(asff: AwsSecurityFinding, place: &Place) -> Result<Finding, PublishError> {
    let id = asff.id.clone().unwrap_or_default();
    read(asff, place).map_err(|what| PublishError::NotOurs { id, what })
}

/// Reads the fields of a finding that are compared with the state. Returns `None` if the finding
/// has no id. Every principal that may import findings in the account can have written it.
pub(crate) fn held(asff: AwsSecurityFinding) -> Option<Held> {
    let summary = || {
        let compliance = asff.compliance.as_ref()?;
        Some(Summary {
            status: status(compliance.status.as_ref()).ok()?,
            severity: severity(asff.finding_provider_fields.as_ref()).ok()?,
            fingerprint: fingerprint(asff.product_fields.as_ref()?),
        })
    };
    Some(Held {
        summary: summary(),
        workflow: from_workflow(
            asff.workflow.as_ref().and_then(|workflow| workflow.status.clone()),
        )
        .ok(),
        updated_at: moment(asff.updated_at.as_deref()).unwrap_or(Timestamp::UNIX_EPOCH),
        id: asff.id?,
    })
}

fn read(asff: AwsSecurityFinding, place: &Place) -> Result<Finding, &'static str> {
    let compliance = asff.compliance.ok_or("no compliance")?;
    let recommendation = asff
        .remediation
        .and_then(|remediation| remediation.recommendation)
        .ok_or("no remediation")?;
    let created_at = moment(asff.created_at.as_deref())?;
    let id = asff.id.ok_or("no id")?;
    Ok(Finding {
        about: About::of_id(&id).ok_or("the id is of no bucket and of no account")?,
        slug: Slug::of_id(&id),
        stored_in: place.clone(),
        title: asff.title.ok_or("no title")?,
        description: asff.description.ok_or("no description")?,
        severity: severity(asff.finding_provider_fields.as_ref())?,
        compliance: status(compliance.status.as_ref())?,
        reasons: compliance.status_reasons.unwrap_or_default().into_iter().map(reason).collect(),
        requirements: compliance.related_requirements.unwrap_or_default(),
        remediation: recommendation.text.unwrap_or_default(),
        reference: recommendation.url.unwrap_or_default(),
        resources: from_resources(asff.resources.unwrap_or_default()),
        fingerprint: asff.product_fields.as_ref().map(fingerprint).unwrap_or_default(),
        product_fields: ProductFields::of_map(
            &asff.product_fields.unwrap_or_default().into_iter().collect(),
        ),
        record_state: match asff.record_state {
            Some(AsffRecordState::Archived) => RecordState::Archived,
            Some(AsffRecordState::Active) => RecordState::Active,
            _ => return Err("an unknown record state"),
        },
        created_at,
        first_observed_at: asff
            .first_observed_at
            .as_deref()
            .map_or(Ok(created_at), |text| moment(Some(text)))?,
        updated_at: moment(asff.updated_at.as_deref())?,
        workflow: from_workflow(asff.workflow.and_then(|workflow| workflow.status))?,
    })
}

fn moment(text: Option<&str>) -> Result<Timestamp, &'static str> {
    text.and_then(|text| text.parse().ok()).ok_or("a time is missing or malformed")
}

fn severity(fields: Option<&FindingProviderFields>) -> Result<Severity, &'static str> {
    let label = fields
        .and_then(|fields| fields.severity.as_ref())
        .and_then(|severity| severity.label.as_ref());
    Severity::of_label(label.ok_or("no severity")?.as_str()).ok_or("an unknown severity")
}

fn status(status: Option<&ComplianceStatus>) -> Result<Compliance, &'static str> {
    status
        .and_then(|status| Compliance::of_word(status.as_str()))
        .ok_or("an unknown compliance status")
}

fn reason(reason: StatusReason) -> Reason {
    Reason {
        code: reason.reason_code.unwrap_or_default(),
        description: reason.description.unwrap_or_default(),
    }
}

/// Reads the resources into a new vector. A resource takes 31 KB in the SDK, and a vector collected
/// from the SDK's would keep that memory.
fn from_resources(resources: Vec<AsffResource>) -> Vec<Resource> {
    let mut ours = Vec::new();
    ours.extend(resources.into_iter().filter_map(from_resource));
    ours
}

fn from_resource(resource: AsffResource) -> Option<Resource> {
    match (resource.r#type.as_deref()?, resource.id?) {
        ("AwsS3Bucket", arn) => Some(Resource::Bucket(arn)),
        ("AwsKmsKey", arn) => arn.parse().ok().map(Resource::Key),
        ("AwsAccount", id) => Some(Resource::Account(id)),
        _ => None,
    }
}

fn from_workflow(status: Option<WorkflowStatus>) -> Result<Workflow, &'static str> {
    status.and_then(|status| Workflow::of_word(status.as_str())).ok_or("an unknown workflow status")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::finding;

    #[test]
    fn a_partition_that_the_api_does_not_know_is_left_out() {
        for (region, expected) in [
            ("eu-west-1", Some("aws")),
            ("cn-north-1", Some("aws-cn")),
            ("us-gov-west-1", Some("aws-us-gov")),
            ("eusc-de-east-1", None),
            ("us-iso-east-1", None),
        ] {
            let place =
                Place { account: "111111111111".parse().unwrap(), region: region.parse().unwrap() };
            let resource = to_resource(&Resource::Bucket("arn:aws:s3:::acme".into()), &place);
            assert_eq!(resource.partition.as_ref().map(Partition::as_str), expected, "{region}");
            assert_eq!(resource.region.as_deref(), Some(region));
        }
    }

    /// AWS about the region: "Security Hub populates this attribute automatically". A product field
    /// cannot be "an empty string".
    #[test]
    fn the_region_of_the_finding_and_an_empty_fingerprint_are_not_sent() {
        let asff = to_asff(&finding(1));
        assert_eq!(asff.region, None);
        assert_eq!(asff.product_fields.unwrap().into_keys().collect::<Vec<_>>(), [fields::VERSION]);
    }
}
