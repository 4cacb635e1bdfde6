//! Names that a peer gives to files: never a path, never a surprise.

/// The longest name in bytes; it leaves room for a number and for `.part` in the 255 of most file systems.
const MAX_NAME: usize = 200;
/// An extension beyond this is part of the name.
const MAX_EXTENSION: usize = 16;

/// Devices of Windows, with any extension.
const DEVICES: &[&str] = &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// A file name for what a peer called `name` (RFC 5547 §6: sanitizing is for the receiver).
///
/// Only what follows the last `/` or `\` counts; control characters, characters that turn the direction of text
/// around and those that a file system gives a meaning are gone, as are dots and spaces at either end.
/// What remains has 1 to 200 bytes, is no device, and stands for a file in the folder that it is joined to.
#[must_use]
pub fn safe_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean = String::new();
    for c in last.chars() {
        match c {
            '<' | '>' | ':' | '"' | '|' | '?' | '*' => clean.push('_'),
            _ if c.is_control() || is_invisible(c) => {}
            _ => clean.push(c),
        }
    }
    let trimmed = trim(&clean);
    let (stem, extension) = split_extension(trimmed);
    let room = MAX_NAME - extension.len();
    let stem = trim(cut(stem, room));
    if stem.is_empty() {
        return format!("file{extension}");
    }
    let device = stem.split('.').next().unwrap_or_default().trim_end();
    if is_device(device) {
        return format!("_{}{extension}", trim(cut(stem, room - 1)));
    }
    format!("{stem}{extension}")
}

/// The name for the `number`th file of this name, so that none is overwritten: `photo (2).jpg`.
#[must_use]
pub fn numbered_name(name: &str, number: u32) -> String {
    let (stem, extension) = split_extension(name);
    format!("{stem} ({number}){extension}")
}

fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c == '.' || c.is_whitespace())
}

/// Characters that hide or turn what is shown: a `txt.exe` that reads as `exe.txt`.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{061C}')
}

fn is_device(name: &str) -> bool {
    let numbered = |prefix: &str| {
        name.get(..3).is_some_and(|p| p.eq_ignore_ascii_case(prefix))
            && name.get(3..).is_some_and(|rest| {
                matches!(rest, "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³")
            })
    };
    DEVICES.iter().any(|device| name.eq_ignore_ascii_case(device)) || numbered("COM") || numbered("LPT")
}

/// The name and its extension with the dot, which may be empty.
fn split_extension(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= MAX_EXTENSION => {
            name.split_at_checked(dot).unwrap_or((name, ""))
        }
        _ => (name, ""),
    }
}

/// At most `max` bytes, cut between characters.
fn cut(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_name_is_never_a_path() {
        for (given, safe) in [
            ("My cool picture.jpg", "My cool picture.jpg"),
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("/", "file"),
            ("..", "file"),
            ("", "file"),
            (".bashrc", "bashrc"),
            ("a/.", "file"),
            ("C:\\evil.exe", "evil.exe"),
            ("C:evil.exe", "C_evil.exe"),
            ("nul\0byte\r\n.txt", "nulbyte.txt"),
            ("con", "_con"),
            ("COM1.tar.gz", "_COM1.tar.gz"),
            ("Lpt9 .txt", "_Lpt9.txt"),
            ("comic.txt", "comic.txt"),
            ("trailing. . .", "trailing"),
            ("gpj.\u{202E}exe.txt", "gpj.exe.txt"),
            ("日本語.txt", "日本語.txt"),
            ("ads.txt:stream", "ads.txt_stream"),
        ] {
            assert_eq!(safe_name(given), safe, "{given:?}");
        }
    }

    #[test]
    fn long_names_keep_their_extension() {
        let name = safe_name(&format!("{}.jpeg", "ä".repeat(10_000)));
        assert!(name.len() <= MAX_NAME && name.ends_with("ä.jpeg"), "{}", name.len());
        assert!(safe_name(&format!("x.{}", "y".repeat(1000))).len() <= MAX_NAME);
    }

    #[test]
    fn numbers_stand_before_the_extension() {
        assert_eq!(numbered_name("photo.jpg", 2), "photo (2).jpg");
        assert_eq!(numbered_name("README", 3), "README (3)");
    }
}
