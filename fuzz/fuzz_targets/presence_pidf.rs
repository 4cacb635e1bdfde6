#![no_main]

sipsimple_fuzz::target!(sipsimple, "presence_pidf");
