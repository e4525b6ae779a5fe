//! `node serve PORT TEXT`: a web server of one page, for what is on the other side of a network.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::ExitCode;

use crate::{Answer, Tried, say};

/// Says `listening`, then answers until it is killed.
pub(crate) fn serve(arguments: &[OsString]) -> Answer<ExitCode> {
    let [port, text] = arguments else {
        return Err("serve PORT TEXT".into());
    };
    let (port, text) = (port.to_string_lossy(), text.to_string_lossy());
    let port = port.parse::<u16>().tried("PORT")?;
    let listener = TcpListener::bind(("0.0.0.0", port)).tried("bind")?;
    say("listening\n")?;
    loop {
        let (mut stream, _) = listener.accept().tried("accept")?;
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
