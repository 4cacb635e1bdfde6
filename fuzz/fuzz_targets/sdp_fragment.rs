#![no_main]

sipsimple_fuzz::target!(sdp, "sdp_fragment");
