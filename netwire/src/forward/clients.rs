//! What the loop does with datagrams, and with the clients of UDP that send them.

use std::os::fd::AsFd;

use rustix::event::epoll::EventFlags;
use sys::SysError;

use super::datagrams::{Client, Datagrams, Said};
use super::relay::{Flow, POD, Relay};

impl Relay {
    /// Datagrams of clients.
    pub(super) fn receive(&mut self, at: usize) {
        for _ in Datagrams::rounds() {
            let Some(listener) = self.listeners.get(at) else {
                return;
            };
            let Some((from, length)) = self.datagrams.next(listener) else {
                return;
            };
            let place = match self.datagrams.places.get(&(at, from)) {
                Some(&place) => place,
                None => {
                    // Too many: this one gets lost.
                    if self.used + 1 > self.descriptors {
                        continue;
                    }
                    match self.datagrams.client(at, listener, from) {
                        Ok(client) => self.admit(client),
                        Err(error) => {
                            self.counts.failed += 1;
                            self.reporter.fault(&error);
                            continue;
                        }
                    }
                }
            };
            if let Some(Some(Flow::Client(client))) = self.flows.get_mut(place)
                && let Err(error) = self.datagrams.hand_on(client, length)
            {
                self.refused(place, &error);
            }
        }
    }

    fn admit(&mut self, client: Client) -> usize {
        let key = (client.listener, client.address);
        let at = self.place(Flow::Client(client));
        self.datagrams.places.insert(key, at);
        if let Some(Some(Flow::Client(client))) = self.flows.get(at)
            && let Err(error) = self.add(client.fd.as_fd(), POD, at, EventFlags::IN)
        {
            self.reporter.fault(&error);
            self.leave(at, true);
        }
        at
    }

    /// Datagrams of the pod.
    pub(super) fn answer(&mut self, at: usize) {
        let Some(Some(Flow::Client(client))) = self.flows.get_mut(at) else {
            return;
        };
        let Some(listener) = self.listeners.get(client.listener) else {
            return;
        };
        if let Said::Refused(error) = self.datagrams.hand_back(client, listener) {
            self.refused(at, &error);
        }
    }

    fn refused(&mut self, at: usize, error: &SysError) {
        if let Some(Some(Flow::Client(client))) = self.flows.get(at) {
            self.datagrams.try_other(client.listener);
        }
        self.reporter.fault(error);
        self.leave(at, true);
    }
}
