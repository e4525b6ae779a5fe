//! Sockets of the host: abstract ones, and services of 127.0.0.1.

use std::io::Read;
use std::net::{Ipv4Addr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};

use crate::{Attempt, Report, Why, number, text};

/// `attack sockets NAME PORT`
pub(crate) fn attack(report: &Report, arguments: &[String]) {
    report.line("abstract", by_name(text(arguments, 0)));
    report.line("loopback", by_port(number(arguments, 1)));
}

fn by_name(name: &str) -> Attempt {
    let address = SocketAddr::from_abstract_name(name).why()?;
    let mut text = String::new();
    UnixStream::connect_addr(&address)
        .why()?
        .read_to_string(&mut text)
        .why()?;
    Ok(text)
}

fn by_port(port: u16) -> Attempt {
    let mut text = String::new();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .why()?
        .read_to_string(&mut text)
        .why()?;
    Ok(text)
}
