//! An interface goes, and who waits for what then.

use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use crate::error::Error;
use crate::link::{self, By, Link};
use crate::netlink::{Request, Socket};
use crate::requests;

/// Removes an interface: of a pair both ends, and with it addresses, routes and neighbours.
///
/// All that is done after half a millisecond. Then the kernel waits for everybody who may still look at the interface
/// (`rcu_barrier` in `netdev_run_todo`), 10 to 25 ms, and lets nobody go who asked for it: not one that moves it to another
/// namespace either. So a child asks, and we go when the interface is gone.
pub(crate) fn remove(host: &mut Socket, link: &Link, wait: bool) -> Result<(), Error> {
    let request = || vec![requests::remove(&link.name, link.index)];
    if !wait && leave_to_child(host, link, request())? {
        host.say(&request());
        return Ok(());
    }
    match host.batch(request()) {
        // The kernel may be at it already, as its last act for a namespace that has ended: that is as good.
        Err(error) if error.refused() != Some(Errno::ENODEV) => Err(error),
        _ => Ok(()),
    }
}

/// Whether a child did it; why it could not, whoever asks next will hear.
fn leave_to_child(host: &mut Socket, link: &Link, request: Vec<Request>) -> Result<bool, Error> {
    let mut socket = Socket::open(false)?;
    let Ok(child) = ::sys::linger(&mut socket, |socket| socket.batch(request).is_ok()) else {
        return Ok(false);
    };
    while link::find(host, By::Index(link.index), false)?.is_some() {
        if child.has_failed() {
            return Ok(false);
        }
        // Our question has to wait for whoever changes the network, so this turns but once or twice.
        thread::sleep(Duration::from_micros(50));
    }
    Ok(true)
}
