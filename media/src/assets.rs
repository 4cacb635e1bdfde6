//! Speech that ships with the program: about eight seconds each, mono, 16 bits, 16 kHz, as
//! complete WAV files. `assets/ORIGIN.md` says how they were made.

/// A woman's voice greeting Bob.
pub const ALICE: &[u8] = include_bytes!("../assets/alice.wav");
/// A man's voice answering Alice.
pub const BOB: &[u8] = include_bytes!("../assets/bob.wav");
