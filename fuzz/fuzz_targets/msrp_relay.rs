#![no_main]

sipsimple_fuzz::target!(msrp_cpim, "msrp_relay");
