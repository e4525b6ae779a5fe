//! The loop: waits for what happens to all the sockets at once, and moves what can be moved.

use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::sys::signalfd::SignalFd;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::net::{SocketFlags, accept_with};
use sys::{Call, SysError, ToErrno};

use super::datagrams::{Client, Datagrams};
use super::listen::Listener;
use super::pipes::Pipes;
use super::progress::Counts;
use super::report::Reporter;
use super::stream::{DESCRIPTORS, Stream, Turn};
use super::watch::Watch;
use crate::error::Error;
use crate::publish::Protocol;

/// Descriptors that are not of connections: the standard ones, the loop's own, the record's, some in reserve.
const RESERVE: usize = 32;
/// Connections that are taken before those that are there have their turn.
const ACCEPTS: usize = 64;
/// How often to look whether a pinned namespace is still there, and whether connections can be taken again.
const LOOK: Duration = Duration::from_secs(1);

/// What an event is about: in the lowest bits of its data, above them the place.
const STOP: u64 = 0;
const POD_GONE: u64 = 1;
pub(super) const LISTENER: u64 = 2;
const CLIENT: u64 = 3;
pub(super) const POD: u64 = 4;
pub(super) const KINDS: u64 = 8;

/// What has a place.
#[derive(Debug)]
pub(super) enum Flow {
    Stream(Box<Stream>),
    Client(Client),
}

/// Everything that is open.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) epoll: OwnedFd,
    pub(super) listeners: Vec<Listener>,
    // Held, as the loop waits for them.
    _signals: SignalFd,
    watch: Watch,
    pub(super) reporter: Reporter,
    pub(super) flows: Vec<Option<Flow>>,
    free: Vec<usize>,
    /// Places that were left since events were read: one of those may still be about them.
    left: Vec<usize>,
    /// Interrupted for the others' sake.
    busy: Vec<usize>,
    pipes: Pipes,
    pub(super) datagrams: Datagrams,
    pub(super) counts: Counts,
    /// Descriptors that connections may have, and those that they have now at most.
    pub(super) descriptors: usize,
    pub(super) used: usize,
    /// No connection is taken.
    pub(super) paused: bool,
}

impl Relay {
    pub(super) fn new(
        listeners: Vec<Listener>,
        signals: SignalFd,
        watch: Watch,
        reporter: Reporter,
        descriptors: usize,
        idle: Duration,
    ) -> Result<Self, Error> {
        let epoll = epoll::create(CreateFlags::CLOEXEC).call(|| "epoll_create1()".into())?;
        let pipes = Pipes::new(descriptors);
        let others = RESERVE + listeners.len() + pipes.descriptors();
        let relay = Self {
            descriptors: descriptors.saturating_sub(others),
            epoll,
            listeners,
            watch,
            reporter,
            flows: Vec::new(),
            free: Vec::new(),
            left: Vec::new(),
            busy: Vec::new(),
            pipes,
            datagrams: Datagrams::new(idle),
            counts: Counts::default(),
            used: 0,
            paused: false,
            _signals: signals,
        };
        if relay.descriptors < DESCRIPTORS {
            return Err(Error::failed(format!(
                "{descriptors} open files are too few to forward anything (ulimit -Hn)"
            )));
        }
        relay.add(relay._signals.as_fd(), STOP, 0, EventFlags::IN)?;
        if let Some(process) = relay.watch.process() {
            relay.add(process, POD_GONE, 0, EventFlags::IN)?;
        }
        for (at, listener) in relay.listeners.iter().enumerate() {
            relay.add(listener.fd.as_fd(), LISTENER, at, EventFlags::IN)?;
        }
        Ok(relay)
    }

    pub(super) fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    pub(super) fn add(
        &self,
        fd: BorrowedFd<'_>,
        kind: u64,
        at: usize,
        flags: EventFlags,
    ) -> Result<(), SysError> {
        let data = EventData::new_u64(at as u64 * KINDS + kind);
        epoll::add(&self.epoll, fd, data, flags).call(|| "epoll_ctl(EPOLL_CTL_ADD)".into())
    }

    /// Until a signal comes, which is a good end, or the pod goes, which is none.
    pub(super) fn run(&mut self) -> Result<(), Error> {
        let mut events: Vec<Event> = Vec::with_capacity(256);
        let mut looked = Instant::now();
        loop {
            let timeout = self
                .timeout()
                .and_then(|timeout| Timespec::try_from(timeout).ok());
            events.clear();
            let buffer = rustix::buffer::spare_capacity(&mut events);
            match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(SysError::new("epoll_wait()", error).into()),
            }
            for event in &events {
                let (data, flags) = (event.data.u64(), event.flags);
                let at = usize::try_from(data / KINDS).unwrap_or_default();
                match data % KINDS {
                    STOP => {
                        self.reporter.end(&self.total());
                        return Ok(());
                    }
                    POD_GONE => return Err(self.gone()),
                    LISTENER => self.listener(at),
                    kind => self.flow(at, kind, flags),
                }
            }
            for at in mem::take(&mut self.busy) {
                if let Some(Some(Flow::Stream(stream))) = self.flows.get_mut(at) {
                    stream.queued = false;
                }
                self.stream(at);
            }
            self.free.append(&mut self.left);
            if looked.elapsed() >= self.interval() {
                looked = Instant::now();
                self.look()?;
            }
            if self.reporter.is_due() {
                self.reporter.progress(&self.total());
            }
        }
    }

    /// None: nothing has to be done unless something happens.
    fn timeout(&self) -> Option<Duration> {
        if !self.busy.is_empty() {
            return Some(Duration::ZERO);
        }
        let pinned = self.watch.process().is_none();
        let clients = !self.datagrams.places.is_empty();
        let needed = pinned || clients || self.paused || self.reporter.has_progress();
        needed.then(|| self.interval())
    }

    fn interval(&self) -> Duration {
        match self.datagrams.places.is_empty() {
            true => LOOK,
            false => LOOK.min(self.datagrams.interval()),
        }
    }

    /// What no event tells.
    fn look(&mut self) -> Result<(), Error> {
        if self.watch.process().is_none() && !self.watch.is_there() {
            return Err(self.gone());
        }
        let places: Vec<usize> = self.datagrams.places.values().copied().collect();
        for at in places {
            if let Some(Some(Flow::Client(client))) = self.flows.get(at)
                && self.datagrams.is_idle(client)
            {
                self.leave(at, false);
            }
        }
        self.free.append(&mut self.left);
        self.resume();
        Ok(())
    }

    fn gone(&mut self) -> Error {
        self.reporter.end(&self.total());
        self.watch.gone()
    }

    /// With what is in flight.
    fn total(&self) -> Counts {
        let mut counts = self.counts.clone();
        for flow in self.flows.iter().flatten() {
            let (there, back) = match flow {
                Flow::Stream(stream) => stream.bytes(),
                Flow::Client(client) => (client.there, client.back),
            };
            counts.there += there;
            counts.back += back;
        }
        counts
    }

    fn listener(&mut self, at: usize) {
        match self.listeners.get(at).map(|listener| listener.protocol) {
            Some(Protocol::Udp) => self.receive(at),
            Some(_) => self.accept(at),
            None => {}
        }
    }

    fn accept(&mut self, at: usize) {
        for _ in 0..ACCEPTS {
            let Some(listener) = self.listeners.get(at) else {
                return;
            };
            if self.used + DESCRIPTORS > self.descriptors {
                return self.pause();
            }
            let port = listener.port;
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            let client = match accept_with(&listener.fd, flags) {
                Ok(client) => client,
                Err(rustix::io::Errno::AGAIN) => return,
                // It went before we came; accept(2) says to go on.
                Err(error) if !is_shortage(error) => continue,
                Err(error) => {
                    let error = SysError::new("accept4()", error);
                    self.reporter.fault(&error);
                    return self.pause();
                }
            };
            match Stream::begin(client, port) {
                Ok(stream) => self.enter(stream),
                Err(error) => {
                    self.counts.failed += 1;
                    self.reporter.fault(&error);
                }
            }
        }
    }

    pub(super) fn place(&mut self, flow: Flow) -> usize {
        self.used += descriptors(&flow);
        self.counts.open += 1;
        match self.free.pop() {
            Some(at) => {
                self.flows[at] = Some(flow);
                at
            }
            None => {
                self.flows.push(Some(flow));
                self.flows.len() - 1
            }
        }
    }

    fn enter(&mut self, stream: Stream) {
        let at = self.place(Flow::Stream(Box::new(stream)));
        let Some(Some(Flow::Stream(stream))) = self.flows.get(at) else {
            return;
        };
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        let added = self
            .add(stream.client.fd.as_fd(), CLIENT, at, flags)
            .and_then(|()| self.add(stream.pod.fd.as_fd(), POD, at, flags));
        if let Err(error) = added {
            self.reporter.fault(&error);
            self.leave(at, true);
        }
    }

    fn flow(&mut self, at: usize, kind: u64, flags: EventFlags) {
        match self.flows.get_mut(at) {
            Some(Some(Flow::Stream(stream))) => {
                match kind {
                    CLIENT => stream.client.note(flags),
                    _ => stream.pod.note(flags),
                }
                self.stream(at);
            }
            Some(Some(Flow::Client(_))) => self.answer(at),
            // It has left since.
            _ => {}
        }
    }

    fn stream(&mut self, at: usize) {
        let Some(Some(Flow::Stream(stream))) = self.flows.get_mut(at) else {
            return;
        };
        match stream.turn(&mut self.pipes) {
            Turn::Waits => {}
            Turn::HasMore => {
                if !mem::replace(&mut stream.queued, true) {
                    self.busy.push(at);
                }
            }
            Turn::Done => self.leave(at, false),
            Turn::Broken => self.leave(at, true),
            Turn::Again => {
                let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
                let data = EventData::new_u64(at as u64 * KINDS + POD);
                if epoll::add(&self.epoll, &stream.pod.fd, data, flags).is_err() {
                    self.leave(at, true);
                }
            }
            Turn::Refused(error) => {
                self.reporter.fault(&error);
                self.leave(at, true);
            }
        }
    }

    /// What has this place has come to its end.
    pub(super) fn leave(&mut self, at: usize, broken: bool) {
        let Some(flow) = self.flows.get_mut(at).and_then(Option::take) else {
            return;
        };
        self.used -= descriptors(&flow);
        self.left.push(at);
        self.counts.open -= 1;
        match broken {
            true => self.counts.failed += 1,
            false => self.counts.done += 1,
        }
        let (peer, (there, back)) = match flow {
            Flow::Stream(stream) => {
                let (peer, bytes) = (stream.peer(), stream.bytes());
                stream.end(broken, &mut self.pipes);
                (peer, bytes)
            }
            Flow::Client(client) => {
                let key = (client.listener, client.address);
                self.datagrams.places.remove(&key);
                (client.peer, (client.there, client.back))
            }
        };
        self.counts.there += there;
        self.counts.back += back;
        let how = if broken { "broken off" } else { "done" };
        self.reporter
            .step(|| format!("{peer}: {how}, {there} bytes to the pod, {back} back"));
        self.resume();
    }
}

fn descriptors(flow: &Flow) -> usize {
    match flow {
        Flow::Stream(_) => DESCRIPTORS,
        Flow::Client(_) => 1,
    }
}

/// Whether there is not enough of something, and it may be different later.
fn is_shortage(error: rustix::io::Errno) -> bool {
    use nix::errno::Errno;
    matches!(
        error.to_errno(),
        Errno::EMFILE | Errno::ENFILE | Errno::ENOBUFS | Errno::ENOMEM
    )
}
