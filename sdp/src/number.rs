//! Numbers as SDP writes them: digits, nothing else.

/// Digits only (Rust's own parser takes a `+`).
pub(crate) fn u64(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 20 {
        return None;
    }
    let mut value = 0u64;
    for byte in text.bytes() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(value)
}

pub(crate) fn u32(text: &str) -> Option<u32> {
    u64(text).and_then(|value| value.try_into().ok())
}

pub(crate) fn u16(text: &str) -> Option<u16> {
    u64(text).and_then(|value| value.try_into().ok())
}

/// 0 to 127 (RFC 3550 §5.1: seven bits).
pub(crate) fn payload_type(text: &str) -> Option<u8> {
    u64(text).filter(|value| *value < 128).and_then(|value| value.try_into().ok())
}

/// Whether the number printed again is the text that was read.
pub(crate) fn is_plain(text: &str) -> bool {
    text == "0" || !text.starts_with('0')
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_digits() {
        assert_eq!(super::u64("18446744073709551615"), Some(u64::MAX));
        for bad in ["", "+1", "-1", " 1", "1 ", "18446744073709551616", "999999999999999999999", "1x"] {
            assert_eq!(super::u64(bad), None, "{bad:?}");
        }
        assert_eq!(super::payload_type("127"), Some(127));
        assert_eq!(super::payload_type("128"), None);
    }
}
