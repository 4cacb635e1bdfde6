#![no_main]

sipsimple_fuzz::target!(rtp_srtp, "rtcp_compound");
