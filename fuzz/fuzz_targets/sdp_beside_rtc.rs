#![no_main]

sipsimple_fuzz::target!(differential, "sdp_beside_rtc");
