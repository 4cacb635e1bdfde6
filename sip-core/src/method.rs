//! Request methods (RFC 3261 §7.1 and its extensions).

use crate::{ErrorKind, ParseError, grammar};
use std::{fmt, str::FromStr};

macro_rules! methods {
    ($($variant:ident $text:literal $doc:literal;)*) => {
        /// A request method. Methods are case-sensitive; unknown ones are kept.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = $doc] $variant,)*
            /// A method this crate has no name for.
            Other(Box<str>),
        }

        impl Method {
            /// The methods this crate has names for.
            pub const KNOWN: &[Method] = &[$(Method::$variant),*];

            /// The method as it stands in a request line.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(text) => text,
                }
            }

            /// A token that has already been checked.
            pub(crate) fn from_token(token: &str) -> Self {
                match token {
                    $($text => Self::$variant,)*
                    _ => Self::Other(token.into()),
                }
            }
        }
    };
}

methods! {
    Invite "INVITE" "Starts or changes a session (RFC 3261 §13).";
    Ack "ACK" "Confirms a final response to INVITE (RFC 3261 §13).";
    Bye "BYE" "Ends a session (RFC 3261 §15).";
    Cancel "CANCEL" "Gives a pending request up (RFC 3261 §9).";
    Options "OPTIONS" "Asks for capabilities (RFC 3261 §11).";
    Register "REGISTER" "Binds contacts to an address of record (RFC 3261 §10).";
    Prack "PRACK" "Acknowledges a provisional response (RFC 3262).";
    Update "UPDATE" "Changes a session without a dialog's state (RFC 3311).";
    Message "MESSAGE" "Carries an instant message (RFC 3428).";
    Subscribe "SUBSCRIBE" "Asks for notifications (RFC 6665).";
    Notify "NOTIFY" "Carries a notification (RFC 6665).";
    Publish "PUBLISH" "Publishes event state (RFC 3903).";
    Refer "REFER" "Asks the recipient to make a request (RFC 3515).";
    Info "INFO" "Carries application data in a session (RFC 6086).";
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if grammar::is_token(text) {
            Ok(Self::from_token(text))
        } else {
            Err(ParseError::new(0, ErrorKind::Syntax, "a method token"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_matters_and_unknown_methods_are_kept() {
        assert_eq!("INVITE".parse(), Ok(Method::Invite));
        assert_eq!("invite".parse(), Ok(Method::Other("invite".into())));
        assert_eq!("RE%47IST%45R".parse::<Method>().map(|m| m.to_string()), Ok("RE%47IST%45R".into()));
        assert!("BAD METHOD".parse::<Method>().is_err());
        assert!("".parse::<Method>().is_err());
        for method in Method::KNOWN {
            assert_eq!(method.as_str().parse().as_ref(), Ok(method));
        }
    }
}
