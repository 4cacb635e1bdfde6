//! Audio: codecs, jitter buffer, mixing bridge, WAV files and devices.
