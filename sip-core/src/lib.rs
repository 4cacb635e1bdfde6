//! SIP (RFC 3261): messages, transactions, dialogs and a user agent endpoint, without I/O.
