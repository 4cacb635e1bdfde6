//! RTP, RTCP (RFC 3550) and SRTP (RFC 3711), without I/O.
