//! Building messages.

use crate::{
    Headers, Message, Method, Request, Response, StatusCode, Uri, UsageError, grammar,
    header::{ContentLength, From as FromHeader, HeaderName, To, TypedHeader},
    uri,
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
    /// The method.
    pub(crate) fn method(&self) -> &Method {
        &self.method
    }

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

/// Headers that a URI may not set (RFC 3261 §19.1.5): they would make the request lie about its sender
/// or its way, or about what the sender can do. What the builder writes itself is among them.
const DANGEROUS: [HeaderName<'static>; 22] = [
    HeaderName::FROM,
    HeaderName::CALL_ID,
    HeaderName::CSEQ,
    HeaderName::VIA,
    HeaderName::RECORD_ROUTE,
    HeaderName::ROUTE,
    HeaderName::ACCEPT,
    HeaderName::ACCEPT_ENCODING,
    HeaderName::ACCEPT_LANGUAGE,
    HeaderName::ALLOW,
    HeaderName::CONTACT,
    HeaderName::ORGANIZATION,
    HeaderName::SUPPORTED,
    HeaderName::USER_AGENT,
    HeaderName::MAX_FORWARDS,
    HeaderName::CONTENT_LENGTH,
    HeaderName::AUTHORIZATION,
    HeaderName::PROXY_AUTHORIZATION,
    HeaderName::P_ASSERTED_IDENTITY,
    HeaderName::P_PREFERRED_IDENTITY,
    HeaderName::IDENTITY,
    HeaderName::PATH,
];

impl Request {
    /// The request that a URI with headers and a method asks for (RFC 3261 §19.1.5).
    ///
    /// The method is INVITE where none is named. The Request-URI is the URI without `method` and
    /// headers, and so is To unless the URI sets it. Its headers go along, their escapes resolved,
    /// and `body` becomes the body; those that would make the request lie are left out. A `Route`
    /// is among these, and what a proxy or registrar is told of us.
    pub fn from_uri(uri: &Uri) -> Result<RequestBuilder, UsageError> {
        let method = uri.param("method").map_or(Ok(Method::Invite), |name| uri::unescape(name).parse())?;
        let target = uri.without_headers().without_param("method");
        let mut builder = Self::builder(method, &target);
        let mut to = None;
        let mut body = None;
        for (name, value) in uri.headers() {
            let (name, value) = (uri::unescape(name), uri::unescape(value));
            let header = HeaderName::new(&name);
            if header == HeaderName::TO {
                to = Some(To::parse(&value)?);
            } else if name.eq_ignore_ascii_case("body") {
                body = Some(value.into_owned());
            } else if !DANGEROUS.contains(&header) {
                builder.headers.push_raw(&name, &value)?;
            }
        }
        let to = to.unwrap_or_else(|| To(target.into()));
        builder.headers.push(to);
        if let Some(body) = body {
            if !builder.headers.contains(HeaderName::CONTENT_TYPE) {
                builder.headers.push_raw(HeaderName::CONTENT_TYPE.as_str(), "text/plain")?;
            }
            builder.body = Bytes::from(body);
        }
        Ok(builder)
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

    /// RFC 3261 §19.1.5.
    #[test]
    fn requests_from_uris() {
        let text = |uri: &str| {
            let request = Request::from_uri(&uri.parse().unwrap()).map(|b| b.build().to_bytes().to_vec());
            request.map(|bytes| String::from_utf8(bytes).unwrap())
        };
        assert_eq!(
            text("sip:alice@atlanta.com;transport=tcp?Subject=project%20x&priority=urgent&Route=%3Csip:evil;lr%3E\
                  &From=%3Csip:evil%3E&v=SIP/2.0/UDP%20evil&l=7&Replaces=a%40b%3Bto-tag=1%3Bfrom-tag=2")
            .unwrap(),
            "INVITE sip:alice@atlanta.com;transport=tcp SIP/2.0\r\nSubject: project x\r\npriority: urgent\r\n\
             Replaces: a@b;to-tag=1;from-tag=2\r\nTo: <sip:alice@atlanta.com;transport=tcp>\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(
            text("sip:bob@b.com;method=MESSAGE?to=sip:carol%40b.com&body=hello%0D%0Athere").unwrap(),
            "MESSAGE sip:bob@b.com SIP/2.0\r\nTo: <sip:carol@b.com>\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nhello\r\nthere"
        );
        for evil in
            ["sip:a@b?X=a%0D%0AVia:%20b", "sip:a@b?X%0D%0A=a", "sip:a@b;method=A%20B", "sip:a@b?to=%3C"]
        {
            assert!(text(evil).is_err(), "{evil}");
        }
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
