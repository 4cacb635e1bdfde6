#![no_main]

sipsimple_fuzz::target!(rtp_srtp, "srtp_keyed");
