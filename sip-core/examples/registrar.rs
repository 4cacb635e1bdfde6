//! A registrar and proxy over UDP, for a laboratory: `cargo run --example registrar -- 192.0.2.10:5060 example.com alice:secret bob:hidden`;
//! with `--md5` its challenges are such as older agents understand.

use std::{
    env,
    error::Error,
    net::{SocketAddr, UdpSocket},
    time::Instant,
};

use bytes::Bytes;
use sip_core::{
    auth::Algorithm,
    usage::{Registrar, RegistrarConfig},
};

#[expect(clippy::disallowed_methods, reason = "a program has a clock; the library is given one")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let local: SocketAddr = arguments.next().unwrap_or_else(|| "127.0.0.1:5060".to_owned()).parse()?;
    let realm = arguments.next().unwrap_or_else(|| "example.com".to_owned());
    let config = arguments.fold(RegistrarConfig::new(realm), |config, user| match user.split_once(':') {
        Some((name, password)) => config.user(name, password),
        // Some agents know no other.
        None if user == "--md5" => RegistrarConfig { algorithm: Algorithm::Md5, ..config },
        None => config.user(user.clone(), user),
    });
    let socket = UdpSocket::bind(local)?;
    let local = socket.local_addr()?;
    println!("registrar on {local}");
    // A laboratory's nonces: their key need not be secret.
    let mut registrar = Registrar::new(config, local, Instant::now(), [7; 32]);
    let mut buffer = vec![0; 65_536];
    loop {
        let (length, source) = socket.recv_from(&mut buffer)?;
        let data = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
        registrar.handle_datagram(Instant::now(), source, data);
        while let Some((target, data)) = registrar.poll_transmit() {
            // A peer that is gone is no reason to stop.
            let _ = socket.send_to(&data, target);
        }
    }
}
