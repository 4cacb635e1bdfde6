#![no_main]

sipsimple_fuzz::target!(ice_stun, "stun_stream");
