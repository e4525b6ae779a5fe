//! `node serve PORT TEXT`: a web server of one page, for what is on the other side of a network.
//!
//! Datagrams are answered with the same text. `{peer}` in it becomes the address that is asking.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::process::ExitCode;
use std::thread;

use crate::{Answer, Tried, say};

/// Says `listening`, then answers until it is killed.
pub(crate) fn serve(arguments: &[OsString]) -> Answer<ExitCode> {
    let [port, text] = arguments else {
        return Err("serve PORT TEXT".into());
    };
    let (port, text) = (port.to_string_lossy(), text.to_string_lossy());
    let port = port.parse::<u16>().tried("PORT")?;
    let listener = TcpListener::bind(("::", port))
        .or_else(|_| TcpListener::bind(("0.0.0.0", port)))
        .tried("bind")?;
    let socket = UdpSocket::bind(("::", port))
        .or_else(|_| UdpSocket::bind(("0.0.0.0", port)))
        .tried("bind")?;
    let answer = text.clone().into_owned();
    thread::spawn(move || {
        let mut question = [0; 2048];
        while let Ok((_, peer)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(to(&answer, peer.ip()).as_bytes(), peer);
        }
    });
    say("listening\n")?;
    loop {
        let (mut stream, peer) = listener.accept().tried("accept")?;
        let text = to(&text, peer.ip());
        let mut request = BufReader::new(&stream).lines();
        // A request ends at the first empty line; what the client does after that is its own affair.
        while request
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let _ = write!(
            stream,
            "HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        );
    }
}

fn to(text: &str, peer: IpAddr) -> String {
    // One socket for both: an address of IPv4 comes as one of IPv6.
    text.replace("{peer}", &peer.to_canonical().to_string())
}
