//! Two hosts behind NATs and a public network with servers between them, all in network
//! namespaces that live as long as the value.
//!
//! ```text
//!   left ── NAT ──┐                 ┌── NAT ── right
//!  10.77.1.2      ├── public network ┤        10.77.2.2
//!            203.0.113.1   │   203.0.113.2
//!                        server
//!                     203.0.113.10
//! ```

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::process::{PATIENCE, Running, left_out, takes, until};

/// Where the servers are.
pub(crate) const SERVER: &str = "203.0.113.10";
/// What the laboratory is made with.
const TOOLS: [&str; 3] = ["ip", "nft", "sysctl"];
/// Counts the laboratories of this process: their names are their own.
static BUILT: AtomicU32 = AtomicU32::new(0);

/// What a NAT does with mappings, and whom it lets in.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nat {
    /// One mapping for all; who was not sent to stays out.
    Cone,
    /// Another mapping for each destination; who was not sent to stays out.
    Symmetric,
    /// One mapping for all; everybody is let in.
    Full,
}

/// A host.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Left,
    Right,
    Server,
}

impl Host {
    fn name(self) -> &'static str {
        match self {
            Self::Left => "a",
            Self::Right => "b",
            Self::Server => "s",
        }
    }

    /// Its address in its own network.
    pub(crate) fn address(self) -> &'static str {
        match self {
            Self::Left => "10.77.1.2",
            Self::Right => "10.77.2.2",
            Self::Server => SERVER,
        }
    }
}

/// The networks.
pub(crate) struct Laboratory {
    prefix: String,
}

impl Laboratory {
    /// Builds it; `None`, and a loud word on the terminal, where that cannot be done here.
    pub(crate) fn build(left: Nat, right: Nat, programs: &[&str]) -> Option<Self> {
        if let Some(lack) = lack(programs) {
            left_out(&format!("needs {lack}"));
            return None;
        }
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        if number == 0 {
            sweep();
        }
        let this = Self { prefix: format!("sipsimple-{}-{number}-", std::process::id()) };
        // From here on dropping it clears up, however far it came.
        this.wire();
        this.nat("na", "wan", left, Host::Left.address());
        this.nat("nb", "wan", right, Host::Right.address());
        Some(this)
    }

    fn space(&self, host: &str) -> String {
        format!("{}{host}", self.prefix)
    }

    fn wire(&self) {
        let ip = |line: String| {
            run(Command::new("ip").args(line.split(' ')), &line);
        };
        for host in ["a", "na", "net", "nb", "b", "s"] {
            ip(format!("netns add {}", self.space(host)));
            ip(format!("-n {} link set lo up", self.space(host)));
        }
        let net = self.space("net");
        ip(format!("-n {net} link add public type bridge"));
        ip(format!("-n {net} link set public up"));
        for (host, address) in [("s", SERVER), ("na", "203.0.113.1"), ("nb", "203.0.113.2")] {
            let space = self.space(host);
            ip(format!("link add wan netns {space} type veth peer name to-{host} netns {net}"));
            ip(format!("-n {space} addr add {address}/24 dev wan"));
            ip(format!("-n {space} link set wan up"));
            ip(format!("-n {net} link set to-{host} master public"));
            ip(format!("-n {net} link set to-{host} up"));
        }
        // A relay is asked for addresses that are nowhere here; without any route it takes the
        // system's refusal for the end of the allocation.
        ip(format!("-n {net} addr add 203.0.113.254/24 dev public"));
        ip(format!("-n {} route add default via 203.0.113.254", self.space("s")));
        for (host, nat, network) in [("a", "na", "10.77.1"), ("b", "nb", "10.77.2")] {
            let (host, nat) = (self.space(host), self.space(nat));
            ip(format!("link add lan netns {host} type veth peer name lan netns {nat}"));
            for (space, last) in [(&host, 2), (&nat, 1)] {
                ip(format!("-n {space} addr add {network}.{last}/24 dev lan"));
                ip(format!("-n {space} link set lan up"));
            }
            ip(format!("-n {host} route add default via {network}.1"));
            ip(format!("netns exec {nat} sysctl -qw net.ipv4.ip_forward=1"));
        }
    }

    /// Gives a host another address, in a network where nobody else is.
    pub(crate) fn address(&self, host: Host, address: &str) {
        let space = self.space(host.name());
        let make = ["-n", &space, "link", "add", "spare", "type", "veth", "peer", "name", "nobody"];
        run(Command::new("ip").args(make), "a link");
        run(
            Command::new("ip").args(["-n", &space, "addr", "add", &format!("{address}/24"), "dev", "spare"]),
            "it",
        );
        for end in ["spare", "nobody"] {
            run(Command::new("ip").args(["-n", &space, "link", "set", end, "up"]), "it");
        }
    }

    /// Takes a host's address away and gives it another one of its network, as another network would.
    pub(crate) fn readdress(&self, host: Host, address: &str) {
        let (space, old) = (self.space(host.name()), host.address());
        let gateway = old.rsplit_once('.').map(|(network, _)| format!("{network}.1")).expect("an address");
        for line in [
            format!("-n {space} addr flush dev lan"),
            format!("-n {space} addr add {address}/24 dev lan"),
            format!("-n {space} route replace default via {gateway}"),
        ] {
            run(Command::new("ip").args(line.split(' ')), &line);
        }
    }

    fn nat(&self, space: &str, outside: &str, kind: Nat, inside: &str) {
        let mapping = if kind == Nat::Symmetric { "masquerade fully-random" } else { "masquerade" };
        let filtering = match kind {
            Nat::Full => format!("iifname {outside} udp dport 1024-65535 dnat to {inside}"),
            Nat::Cone | Nat::Symmetric => String::new(),
        };
        // What nobody asked for ends here. If it reached the NAT's own host it would leave a mark
        // there, and the way back would get another mapping.
        let rules = format!(
            "table ip nat {{\n chain out {{ type nat hook postrouting priority 100\n oifname {outside} {mapping}\n }}\n \
             chain in {{ type nat hook prerouting priority -100\n {filtering}\n }}\n \
             chain own {{ type filter hook input priority 0\n iifname {outside} ct state new drop\n }}\n}}\n"
        );
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(space), "nft", &rules]);
        run(&mut command, "nft");
    }

    /// A program that is to run there.
    pub(crate) fn command(&self, host: Host, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.space(host.name())]).arg(program);
        command
    }

    /// Starts a registrar and proxy for `example.com`, who knows alice and bob.
    pub(crate) fn registrar(&self, folder: &Path, options: &[&str]) -> Running {
        let program = std::env::var_os("REGISTRAR").expect("REGISTRAR names the built example of sip-core");
        let mut command = self.command(Host::Server, program);
        command.args([&format!("{SERVER}:5060"), "example.com", "alice:a", "bob:b"]).args(options);
        let running = Running::start(&mut command, folder, "registrar");
        running.wait_for("registrar on");
        running
    }

    /// Starts coturn, as a STUN server and a relay over UDP, TCP and TLS; the second is its
    /// certificate.
    pub(crate) fn relay(&self, folder: &Path) -> (Running, PathBuf) {
        let identity = rcgen::generate_simple_self_signed([SERVER.to_owned()]).expect("a certificate");
        let (certificate, key) = (folder.join("relay.pem"), folder.join("relay.key"));
        std::fs::write(&certificate, identity.cert.pem()).expect("a new file");
        std::fs::write(&key, identity.signing_key.serialize_pem()).expect("a new file");
        let at = |name: &str| folder.join(name).display().to_string();
        let configuration = format!(
            "listening-ip={SERVER}\nrelay-ip={SERVER}\nlistening-port=3478\ntls-listening-port=5349\n\
             min-port=49152\nmax-port=49999\nfingerprint\nlt-cred-mech\nrealm=example.com\n\
             user=alice:alice-relay\nuser=bob:bob-relay\nno-cli\nlog-file=stdout\nverbose\n\
             cert={}\npkey={}\nuserdb={}\npidfile={}\n",
            certificate.display(),
            key.display(),
            at("relay.db"),
            at("relay.pid"),
        );
        std::fs::write(folder.join("relay.conf"), configuration).expect("a new file");
        let mut command = self.command(Host::Server, "turnserver");
        command.arg("-c").arg(folder.join("relay.conf"));
        let running = Running::start(&mut command, folder, "turnserver");
        // It takes what comes by UDP before it listens for TCP and TLS.
        let takes = |(kind, port)| takes(&self.table(kind), port);
        let listens =
            until(PATIENCE, || [("udp", 3478), ("tcp", 3478), ("tcp", 5349)].into_iter().all(takes));
        assert!(listens, "the relay does not listen: {}{}", running.stdout(), running.stderr());
        (running, certificate)
    }

    /// Linux's table of the server's sockets.
    fn table(&self, kind: &str) -> String {
        let mut command = self.command(Host::Server, "cat");
        let table = command.arg(format!("/proc/net/{kind}")).output().expect("cat runs").stdout;
        String::from_utf8_lossy(&table).into_owned()
    }
}

/// Removes what runs that were ended in their midst have left.
fn sweep() {
    let listed = Command::new("ip").args(["netns", "list"]).output().expect("ip runs").stdout;
    for line in String::from_utf8_lossy(&listed).lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let process = name.strip_prefix("sipsimple-").and_then(|rest| rest.split('-').next());
        // Of this process there is none yet, but one before it may have had its number.
        let is_left = |process: &str| {
            process == std::process::id().to_string() || !Path::new("/proc").join(process).exists()
        };
        if process.is_some_and(is_left) {
            // Another run may do the same.
            let quiet = Command::new("ip").args(["netns", "del", name]).stderr(Stdio::null()).status();
            drop(quiet);
        }
    }
}

impl Drop for Laboratory {
    fn drop(&mut self) {
        for host in ["a", "na", "net", "nb", "b", "s"] {
            // One that was not made yet need not be removed.
            let quiet =
                Command::new("ip").args(["netns", "del", &self.space(host)]).stderr(Stdio::null()).status();
            drop(quiet);
        }
    }
}

/// What is not here, of all that is needed.
fn lack(programs: &[&str]) -> Option<String> {
    let is_there = |program: &&&str| {
        let paths = std::env::var_os("PATH").unwrap_or_default();
        !std::env::split_paths(&paths).any(|folder| folder.join(**program).is_file())
    };
    let missing: Vec<&str> = TOOLS.iter().chain(programs).filter(is_there).copied().collect();
    if !missing.is_empty() {
        return Some(missing.join(" and "));
    }
    let probe = format!("sipsimple-{}-probe", std::process::id());
    let made = Command::new("ip").args(["netns", "add", &probe]).stderr(Stdio::null()).status();
    if !made.is_ok_and(|status| status.success()) {
        return Some("root, or another who may make network namespaces".to_owned());
    }
    drop(Command::new("ip").args(["netns", "del", &probe]).status());
    None
}

fn run(command: &mut Command, what: &str) {
    let done = command.output().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(done.status.success(), "{what}: {}", String::from_utf8_lossy(&done.stderr));
}
