//! The example file: every key with its default, made of the definitions.

use std::fmt::Write as _;

use super::layers::ACCOUNTS;
use super::sections::{AccountSettings, Definition, Section, Settings};

const HEAD: &str = "\
# The settings of sipsimple: every key with its default. What is commented out is not set by
# default; the value is an example.
#
# Over this file lie variables of the environment (SIPSIMPLE_RTP_USE_SRTP=true) and the command
# line. Keep the file to yourself: it can have passwords, and sipsimple writes it with mode 0600.
";

/// A file with every key, its words and its default.
#[must_use]
pub fn example() -> String {
    let mut out = String::from(HEAD);
    let defaults = Settings::default();
    for (section, words, keys) in Settings::sections() {
        out.push('\n');
        comment(words, &mut out);
        let _ = writeln!(out, "[{section}]");
        for definition in keys {
            key(definition, defaults.value_in(section, definition.name), false, &mut out);
        }
    }
    out.push('\n');
    comment(AccountSettings::WORDS, &mut out);
    let _ = writeln!(out, "#[{ACCOUNTS}.\"alice@example.com\"]");
    let defaults = AccountSettings::default();
    for definition in AccountSettings::definitions() {
        key(definition, defaults.value(definition.name), true, &mut out);
    }
    out
}

fn key(definition: &Definition, default: Option<toml_edit::Value>, off: bool, out: &mut String) {
    out.push('\n');
    comment(definition.words, out);
    let name = definition.name;
    let _ = match default {
        Some(default) if off => writeln!(out, "#{name} = {default}"),
        Some(default) => writeln!(out, "{name} = {default}"),
        None => writeln!(out, "#{name} = {}", definition.sample),
    };
}

fn comment(words: &str, out: &mut String) {
    for line in words.lines() {
        let _ = writeln!(out, "# {}", line.trim());
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::layers;

    /// `UPDATE=1 cargo test -p sipsimple the_example` writes it anew.
    #[test]
    fn the_example_file_says_what_the_code_does() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("settings.example.toml");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, example()).expect("the example can be written");
        }
        let written = std::fs::read_to_string(&path).expect("settings.example.toml");
        assert_eq!(written, example(), "settings.example.toml is not what the definitions give");
        let read = layers::read(&written, &path).expect("the example is right");
        assert_eq!(read, Settings::default(), "its values are the defaults");
    }

    #[test]
    fn what_is_commented_out_can_be_used() {
        let uncommented: Vec<String> = example()
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
                _ => line.to_owned(),
            })
            .collect();
        let text = uncommented.join("\n");
        let read = layers::read(&text, Path::new("example")).expect(&text);
        assert!(read.accounts.contains_key("alice@example.com"));
    }
}
