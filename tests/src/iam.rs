//! Roles in the sandbox: what they may do, and who may be them.

use crate::{Place, sandbox};
use aws_credential_types::Credentials;
use aws_sdk_sts::error::DisplayErrorContext;

impl Place {
    /// The same place with the eyes of a role.
    ///
    /// # Errors
    /// What is answered where the role may not be assumed.
    pub async fn assume(&self, role: &str) -> Result<Self, String> {
        let request = aws_sdk_sts::Client::new(&self.config).assume_role().role_arn(role).role_session_name("test");
        let session = request.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
        let told = session.credentials.unwrap();
        let token = Some(told.session_token);
        let credentials = Credentials::new(told.access_key_id, told.secret_access_key, token, None, "test");
        let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
        let config = self.config.to_builder().credentials_provider(provider).build();
        Ok(Self { config, ..self.clone() })
    }

    /// Puts a policy of a role, for which the AWS CLI would take a second: the sandbox looks at the access key and not at the
    /// signature.
    pub fn put_role_policy(&self, role: &str, policy: &str, document: &str) {
        let scope = format!("{}/20260101/{}/iam/aws4_request", self.account, self.region);
        let signed = format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0");
        let form = [
            ("Action", "PutRolePolicy"),
            ("Version", "2010-05-08"),
            ("RoleName", role),
            ("PolicyName", policy),
            ("PolicyDocument", document),
        ];
        let answer = ureq::post(&sandbox().endpoint).header("Authorization", signed).send_form(form).unwrap();
        assert_eq!(answer.status(), 200);
    }
}
