#![no_main]

sipsimple_fuzz::target!(ice_stun, "ice_agent");
