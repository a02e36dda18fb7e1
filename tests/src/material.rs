//! Imports material into a key, as [its owner
//! does](https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys.html).

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use aws_sdk_kms::{
    Client,
    primitives::{Blob, DateTime},
    types::{AlgorithmSpec, ExpirationModelType, WrappingKeySpec},
};

/// Imports 32 bytes as the material of a symmetric key. The material expires at `until`, a second
/// since 1970, or never.
pub(crate) async fn import(kms: &Client, key: &str, material: [u8; 32], until: Option<i64>) {
    let request = kms.get_parameters_for_import().key_id(key);
    let parameters = request
        .wrapping_algorithm(AlgorithmSpec::RsaesOaepSha256)
        .wrapping_key_spec(WrappingKeySpec::Rsa2048)
        .send()
        .await
        .unwrap();
    let public = PublicEncryptingKey::from_der(parameters.public_key.unwrap().as_ref()).unwrap();
    let public = OaepPublicEncryptingKey::new(public).unwrap();
    let mut wrapped = vec![0; public.ciphertext_size()];
    let wrapped = public.encrypt(&OAEP_SHA256_MGF1SHA256, &material, &mut wrapped, None).unwrap();
    let model = match until {
        Some(_) => ExpirationModelType::KeyMaterialExpires,
        None => ExpirationModelType::KeyMaterialDoesNotExpire,
    };
    let request = kms.import_key_material().key_id(key);
    let request = request
        .import_token(parameters.import_token.unwrap())
        .encrypted_key_material(Blob::new(wrapped))
        .expiration_model(model)
        .set_valid_to(until.map(DateTime::from_secs));
    request.send().await.unwrap();
}
