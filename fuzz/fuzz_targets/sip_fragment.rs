#![no_main]

sipsimple_fuzz::target!(sip_core, "sip_fragment");
