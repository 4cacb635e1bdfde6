#![no_main]

sipsimple_fuzz::target!(ice_stun, "turn_connections");
