//! As whom a command speaks: addresses and passwords of the command line.

use sipsimple::{Application, Credentials, Uri};

use crate::arguments::Common;
use crate::{Failure, settings};

/// The credentials that `--from` and the password options make.
pub(crate) fn credentials(
    common: &Common,
    from: Option<&str>,
    application: &Application,
) -> Result<Credentials, Failure> {
    let from = match from {
        Some(from) => address("--from", from)?,
        None => default_identity(application),
    };
    // What the account knows goes with its own address only.
    let account = settings::account(common)?.map(|account| account.credentials());
    let credentials = match account {
        Some(known) if known.uri == from => known,
        _ => Credentials::new(from),
    };
    Ok(match password(common)? {
        Some(password) => credentials.with_password(password),
        None => credentials,
    })
}

/// A SIP address as people write it: `sip:` may be left out.
pub(crate) fn address(what: &str, text: &str) -> Result<Uri, Failure> {
    let full =
        if text.contains(':') && !text.contains('@') || text.starts_with("sip") || text.starts_with("tel:") {
            text.to_owned()
        } else {
            format!("sip:{text}")
        };
    full.parse().map_err(|error| Failure::Usage(format!("{what}: {text:?} is not a SIP address: {error}")))
}

/// `sip:sipsimple@` and the address that SIP is spoken on.
fn default_identity(application: &Application) -> Uri {
    let local = application.addresses().first().map(|(_, address)| *address);
    let host = local.map_or_else(
        || "localhost".to_owned(),
        |address| match address {
            std::net::SocketAddr::V4(address) => address.to_string(),
            std::net::SocketAddr::V6(address) => format!("[{}]:{}", address.ip(), address.port()),
        },
    );
    format!("sip:sipsimple@{host}").parse().expect("an address of this host makes a URI")
}

/// The password of the command line.
pub(crate) fn password(common: &Common) -> Result<Option<String>, Failure> {
    if let Some(variable) = &common.password_env {
        let password = std::env::var(variable);
        return password
            .map(Some)
            .map_err(|_| Failure::Usage(format!("--password-env: {variable} is not set")));
    }
    if let Some(path) = &common.password_file {
        let text = std::fs::read_to_string(path);
        let text =
            text.map_err(|error| Failure::Usage(format!("--password-file {}: {error}", path.display())))?;
        return Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()));
    }
    Ok(None)
}
