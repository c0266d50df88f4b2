use super::*;
use crate::image_fetch::{AddressKind, FetchError, RedirectError};

#[test]
fn what_an_image_lacks_is_told_whole() {
    let host = || "cdn.example.com".to_owned();
    for error in [
        FetchError::Disabled,
        FetchError::BadUrl { reason: "contains a user name or password" },
        FetchError::BadUrl { reason: "is longer than 8 KiB" },
        FetchError::Scheme { scheme: "ftp".to_owned() },
        FetchError::Forbidden { host: host(), kind: AddressKind::Loopback },
        FetchError::Redirects(RedirectError::Downgrade),
        FetchError::Status(403),
        FetchError::TooLarge { limit: 5 },
    ] {
        let message = format!("The image in 'input[0].content[0].image_url': {error}");
        let refused = RequestError::new(RequestErrorKind::InvalidImage, "input", message.clone());
        let bytes = Error::from(refused).bytes();
        let body: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(body["error"]["message"], message);
    }
}
