#![no_main]

sipsimple_fuzz::target!(media, "media_comfort");
