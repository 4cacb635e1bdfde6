#![no_main]

sipsimple_fuzz::target!(rtp_srtp, "rtp_packet");
