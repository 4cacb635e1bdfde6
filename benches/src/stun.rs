//! A Binding request as ICE sends it.

/// The password of the end that checks it.
pub const PASSWORD: &str = "VOkJxbRl1RmTxUk/WvJxBt";
/// Its USERNAME.
pub const USERNAME: &str = "evtj:h6vY";
/// Its transaction id.
pub const TRANSACTION: [u8; 12] = [7; 12];
/// Its PRIORITY.
pub const PRIORITY: u32 = 0x6e00_01ff;
/// Its ICE-CONTROLLING.
pub const TIE_BREAKER: u64 = 0x932f_f9b1_5126_3b36;
