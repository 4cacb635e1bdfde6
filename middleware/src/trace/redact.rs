//! Blots secrets out without changing lengths.

use std::borrow::Cow;

/// What comes before a secret, and the bytes that end it.
const MARKS: [(&[u8], &[u8]); 6] = [
    (b"response=\"", b"\""),
    (b"rspauth=\"", b"\""),
    (b"cnonce=\"", b"\""),
    (b"inline:", b"|; \r\n"),
    (b"a=ice-pwd:", b" \r\n"),
    (b"password=\"", b"\""),
];

/// The message with digest responses, SDES keys and ICE passwords replaced by `x`.
pub fn redact(message: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Cow::Borrowed(message);
    for (mark, end) in MARKS {
        for at in memchr::memmem::find_iter(message, mark) {
            let start = at + mark.len();
            let secret = message.iter().skip(start).take_while(|byte| !end.contains(byte)).count();
            if let Some(span) = out.to_mut().get_mut(start..start + secret) {
                span.fill(b'x');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::redact;

    #[test]
    fn secrets_become_x_of_the_same_length() {
        let message = b"Authorization: Digest username=\"a\", response=\"0123abcd\"\r\n\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|2^20\r\na=ice-pwd:topsecret\r\n";
        let shown = redact(message);
        assert_eq!(shown.len(), message.len());
        let shown = String::from_utf8_lossy(&shown).into_owned();
        for secret in ["0123abcd", "c2VjcmV0", "topsecret"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("username=\"a\"") && shown.contains("|2^20"), "{shown}");
    }

    #[test]
    fn a_message_without_secrets_is_not_copied() {
        assert!(matches!(redact(b"OPTIONS sip:a@b SIP/2.0\r\n"), std::borrow::Cow::Borrowed(_)));
    }
}
