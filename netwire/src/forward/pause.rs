//! Where descriptors run out, connections wait in the kernel's queue.

use rustix::event::epoll::{self, EventData, EventFlags};

use super::relay::{KINDS, LISTENER, Relay};
use super::stream::DESCRIPTORS;
use crate::publish::Protocol;

impl Relay {
    /// Nobody is taken until somebody leaves: who comes waits in the kernel's queue.
    pub(super) fn pause(&mut self) {
        if !self.paused {
            self.paused = true;
            self.listen_for(EventFlags::empty());
        }
    }

    pub(super) fn resume(&mut self) {
        if self.paused && self.used + DESCRIPTORS <= self.descriptors {
            self.paused = false;
            self.listen_for(EventFlags::IN);
        }
    }

    fn listen_for(&self, flags: EventFlags) {
        for (at, listener) in self.listeners.iter().enumerate() {
            if listener.protocol != Protocol::Udp {
                let data = EventData::new_u64(at as u64 * KINDS + LISTENER);
                // A descriptor that is registered can be changed.
                let _ = epoll::modify(&self.epoll, &listener.fd, data, flags);
            }
        }
    }
}
