#![no_main]

sipsimple_fuzz::target!(sipsimple, "engine");
