//! Building messages.

use crate::{
    Headers, Message, Method, Request, Response, StatusCode, Uri, UsageError, grammar,
    header::{ContentLength, From as FromHeader, HeaderName, To, TypedHeader},
};
use bytes::Bytes;

/// What RFC 3261 §8.2.6.2 copies from a request into its response.
const COPIED: [HeaderName<'static>; 5] =
    [HeaderName::VIA, HeaderName::FROM, HeaderName::TO, HeaderName::CALL_ID, HeaderName::CSEQ];

/// Builds a [`Request`]; Content-Length is written last, always.
#[derive(Debug, Clone)]
pub struct RequestBuilder {
    method: Method,
    uri: Uri,
    headers: Headers,
    body: Bytes,
}

/// Builds a [`Response`]; Content-Length is written last, always.
#[derive(Debug, Clone)]
pub struct ResponseBuilder {
    status: StatusCode,
    reason: String,
    headers: Headers,
    body: Bytes,
}

impl Request {
    /// A request with nothing in it yet. Headers in the URI do not go along (RFC 3261 §19.1.1).
    pub fn builder(method: Method, uri: &Uri) -> RequestBuilder {
        RequestBuilder { method, uri: uri.without_headers(), headers: Headers::new(), body: Bytes::new() }
    }
}

impl Response {
    /// A response with nothing in it yet.
    pub fn builder(status: StatusCode) -> ResponseBuilder {
        let reason = status.default_reason().to_owned();
        ResponseBuilder { status, reason, headers: Headers::new(), body: Bytes::new() }
    }

    /// The response to a request: Via, From, To, Call-ID and CSeq are copied as they are written
    /// (RFC 3261 §8.2.6.2). The tag of To is the caller's: [`ResponseBuilder::to_tag`].
    pub fn reply_to(request: &Request, status: StatusCode) -> ResponseBuilder {
        let mut builder = Self::builder(status);
        builder.headers.copy_from(request.headers(), &COPIED);
        builder
    }
}

macro_rules! common {
    ($name:ident) => {
        impl $name {
            /// Adds a header.
            pub fn header<H: TypedHeader>(mut self, header: H) -> Self {
                self.headers.push(header);
                self
            }

            /// Adds a header if there is one.
            pub fn maybe<H: TypedHeader>(self, header: Option<H>) -> Self {
                match header {
                    Some(header) => self.header(header),
                    None => self,
                }
            }

            /// Adds a header of any name. Refuses what would not stay one line.
            pub fn raw(mut self, name: &str, value: &str) -> Result<Self, UsageError> {
                self.headers.push_raw(name, value)?;
                Ok(self)
            }

            /// Puts a body in, with its Content-Type. CR, LF and NUL in that become spaces.
            pub fn body(mut self, content_type: &str, body: Bytes) -> Self {
                let clean = content_type.replace(['\r', '\n', '\0'], " ");
                // Nothing is left in it that replace_raw refuses.
                let _ = self.headers.replace_raw(HeaderName::CONTENT_TYPE.as_str(), &clean);
                self.body = body;
                self
            }

            /// The headers so far.
            pub fn headers(&self) -> &Headers {
                &self.headers
            }

            /// The headers so far, to change them.
            pub fn headers_mut(&mut self) -> &mut Headers {
                &mut self.headers
            }

            fn finish(&mut self) {
                self.headers.remove(HeaderName::CONTENT_LENGTH);
                self.headers.push(ContentLength(u32::try_from(self.body.len()).unwrap_or(u32::MAX)));
            }
        }
    };
}

common!(RequestBuilder);
common!(ResponseBuilder);

impl RequestBuilder {
    /// The request.
    pub fn build(mut self) -> Request {
        self.finish();
        Request::new(self.method, self.uri.as_str(), self.headers, self.body)
    }
}

impl ResponseBuilder {
    /// Another reason phrase. CR, LF and NUL in it become spaces.
    pub fn reason(mut self, reason: &str) -> Self {
        self.reason = reason.replace(['\r', '\n', '\0'], " ");
        self
    }

    /// Gives To a tag if it has none (RFC 3261 §8.2.6.2). A tag that is no token is left out.
    pub fn to_tag(mut self, tag: &str) -> Self {
        let untagged = matches!(self.headers.get::<To>(), Some(Ok(to)) if to.tag().is_none());
        if untagged
            && grammar::is_token(tag)
            && let Some(text) = self.headers.text(HeaderName::TO)
        {
            let text = format!("{};tag={tag}", crate::headers::unfold(text));
            // An unfolded value with a token behind it is one line.
            let _ = self.headers.replace_raw(HeaderName::TO.as_str(), &text);
        }
        self
    }

    /// The response.
    pub fn build(mut self) -> Response {
        self.finish();
        Response::new(self.status, &self.reason, self.headers, self.body)
    }
}

impl From<RequestBuilder> for Message {
    fn from(builder: RequestBuilder) -> Self {
        builder.build().into()
    }
}

impl RequestBuilder {
    /// From, with its tag.
    pub fn from(self, from: crate::NameAddr) -> Self {
        self.header(FromHeader(from))
    }

    /// To.
    pub fn to(self, to: crate::NameAddr) -> Self {
        self.header(To(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, header::CSeq};

    #[test]
    fn a_reply_copies_and_tags() {
        let request = Request::builder(Method::Options, &"sip:a@b".parse().unwrap())
            .raw("v", "SIP/2.0/UDP x;branch=z9hG4bK1")
            .and_then(|b| b.raw("t", "sip:a@b ; x=y"))
            .and_then(|b| b.raw("Via", "SIP/2.0/UDP y"))
            .and_then(|b| b.raw("Subject", "not copied"))
            .unwrap()
            .header(CSeq::new(1, Method::Options))
            .build();
        let reply = Response::reply_to(&request, StatusCode::OK).to_tag("abc").to_tag("def").build();
        assert_eq!(
            String::from_utf8(reply.to_bytes().to_vec()).unwrap(),
            "SIP/2.0 200 OK\r\nv: SIP/2.0/UDP x;branch=z9hG4bK1\r\nTo: sip:a@b ; x=y;tag=abc\r\nVia: SIP/2.0/UDP y\r\n\
             CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        );
    }

    #[test]
    fn what_is_built_reads_back() {
        let request = Request::builder(Method::Message, &"sip:a@b?Subject=x".parse().unwrap())
            .body("text/plain\r\nX: y", Bytes::from_static(b"hello"))
            .build();
        let bytes = request.to_bytes();
        assert_eq!(
            bytes.as_ref(),
            b"MESSAGE sip:a@b SIP/2.0\r\nContent-Type: text/plain  X: y\r\nContent-Length: 5\r\n\r\nhello"
        );
        let again = Message::parse(bytes.clone(), &Limits::default()).unwrap();
        assert_eq!((again.body().as_ref(), again.to_bytes()), (&b"hello"[..], bytes));
    }
}
