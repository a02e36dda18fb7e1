//! Answers in the format of AWS, for the tests of this crate.

use aws_sdk_s3::config::http::HttpResponse;
use aws_smithy_runtime_api::http::StatusCode;
use aws_smithy_types::body::SdkBody;
use facts::BucketId;

/// An error document of [S3](https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
pub(crate) fn s3_error(status: u16, code: &str) -> HttpResponse {
    answer(
        status,
        &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"),
    )
}

/// An error of [KMS](https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html).
pub(crate) fn kms_error(status: u16, code: &str) -> HttpResponse {
    answer(status, &format!("{{\"__type\":\"{code}\",\"message\":\"no\"}}"))
}

/// An answer with a status and a body.
pub(crate) fn answer(status: u16, body: &str) -> HttpResponse {
    HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body))
}

/// The bucket that the tests read.
pub(crate) fn bucket() -> BucketId {
    BucketId::new(
        "111111111111".parse().unwrap(),
        "us-east-1".parse().unwrap(),
        "acme".parse().unwrap(),
    )
    .unwrap()
}
