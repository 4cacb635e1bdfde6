//! MSRP (RFC 4975), its relays (RFC 4976) and CPIM (RFC 3862), without I/O.
