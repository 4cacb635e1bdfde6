//! Sessions with audio, chat and files over SIP: the SIP SIMPLE client middleware API.
