//! System calls, a function each, and what they take.
#![expect(unsafe_code, reason = "system calls without a libc")]

use core::mem::MaybeUninit;
use core::num::NonZeroI32;
use core::ptr;

use crate::arch::{nr, syscall0, syscall1, syscall2, syscall3, syscall4, syscall5};
use crate::text::{Text, Texts};

pub(crate) const ENOENT: u8 = 2;
pub(crate) const EACCES: u8 = 13;
pub(crate) const ENOTDIR: u8 = 20;

const SIGHUP: u32 = 1;
const SIGINT: u32 = 2;
const SIGQUIT: u32 = 3;
const SIGKILL: usize = 9;
const SIGTERM: u32 = 15;
const SIGCHLD: u32 = 17;
const SIGCONT: u32 = 18;
const SIGTSTP: u32 = 20;
const SIGTTIN: u32 = 21;
const SIGTTOU: u32 = 22;
const SIGWINCH: u32 = 28;

/// A set of signals, as the kernel has it: bit 0 is signal 1.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Signals(u64);

impl Signals {
    /// What ends a pause that holds.
    pub(crate) const END: &'static Self = &Self::of(&[SIGTERM, SIGINT]);
    /// What an init waits for: everything but the terminal's stop signals, which stop it as they stop CMD.
    pub(crate) const AWAITED: &'static Self = &Self(!Self::of(&[SIGTSTP, SIGTTIN, SIGTTOU]).0);
    /// What a terminal sends, and to the whole foreground group: CMD has its own.
    const TERMINAL: Self = Self::of(&[SIGHUP, SIGINT, SIGQUIT, SIGCONT, SIGWINCH]);
    /// What a terminal that goes sends.
    const HANGUP: Self = Self::of(&[SIGHUP, SIGCONT]);

    const fn of(signals: &[u32]) -> Self {
        let mut set = 0;
        let mut i = 0;
        while i < signals.len() {
            set |= 1 << (signals[i] - 1);
            i += 1;
        }
        Self(set)
    }

    pub(crate) const fn contains(&self, signal: u32) -> bool {
        self.0 >> (signal - 1) & 1 != 0
    }
}

/// The kernel's struct sigaction: handler, flags, and what is 0 here. The longest of the processors' (riscv64 has no restorer).
#[repr(transparent)]
pub(crate) struct Action([usize; 4]);

static DEFAULT: Action = Action([0; 4]);
static IGNORE: Action = Action([1, 0, 0, 0]);

const SIG_BLOCK: usize = 0;
const SIG_SETMASK: usize = 2;
const SIGNALS_SIZE: usize = size_of::<Signals>();

/// Blocks `signals` too. sigprocmask(2).
#[inline(always)]
pub(crate) fn block(signals: &Signals) {
    // SAFETY: what was before is not asked for.
    unsafe { sigprocmask(SIG_BLOCK, signals, 0) }
}

/// Blocks `signals` too; what was blocked before. sigprocmask(2).
#[inline(always)]
pub(crate) fn block_and_tell(signals: &Signals) -> Signals {
    let mut before = MaybeUninit::<Signals>::uninit();
    // SAFETY: `before` has the size of a set; the call cannot fail, so it is filled.
    unsafe {
        sigprocmask(SIG_BLOCK, signals, before.as_mut_ptr() as usize);
        before.assume_init()
    }
}

/// Blocks `signals` and no others. sigprocmask(2).
pub(crate) fn set_mask(signals: &Signals) {
    // SAFETY: what was before is not asked for.
    unsafe { sigprocmask(SIG_SETMASK, signals, 0) }
}

/// # Safety
/// `before` is 0 or the address of a set.
#[inline(always)]
unsafe fn sigprocmask(how: usize, signals: &Signals, before: usize) {
    // SAFETY: the set has the size that is given.
    unsafe {
        syscall4(
            nr::RT_SIGPROCMASK,
            how,
            address(signals),
            before,
            SIGNALS_SIZE,
        )
    };
}

/// Ignores `signal`; KILL and STOP cannot be. sigaction(2).
pub(crate) fn ignore(signal: u32) {
    // SAFETY: the action is as long as the kernel reads, and names no handler.
    unsafe {
        syscall4(
            nr::RT_SIGACTION,
            signal as usize,
            address(&IGNORE),
            0,
            SIGNALS_SIZE,
        )
    };
}

/// Lets SIGCHLD be sent and children be waited for; what was to be done with it. sigaction(2).
pub(crate) fn default_sigchld() -> Action {
    let mut before = MaybeUninit::<Action>::uninit();
    // SAFETY: both actions are as long as the kernel's; the call cannot fail. What it leaves of `before` is not read back either.
    unsafe {
        syscall4(
            nr::RT_SIGACTION,
            SIGCHLD as usize,
            address(&DEFAULT),
            before.as_mut_ptr() as usize,
            SIGNALS_SIZE,
        );
        before.assume_init()
    }
}

/// What [`default_sigchld`] returned. sigaction(2).
pub(crate) fn set_sigchld(action: &Action) {
    // SAFETY: the kernel gave it; just after an exec it names no handler.
    unsafe {
        syscall4(
            nr::RT_SIGACTION,
            SIGCHLD as usize,
            address(action),
            0,
            SIGNALS_SIZE,
        )
    };
}

/// Waits for one of `signals`, and says which to pass on: not SIGCHLD, and none that CMD has from the terminal. sigtimedwait(2).
///
/// EINTR (SIGSTOP and SIGCONT) is none to pass on as well.
pub(crate) fn wait_for_signal(signals: &Signals) -> Option<u32> {
    /// siginfo_t: number, errno, code, and what is not read here.
    #[repr(C, align(8))]
    struct Info([i32; 32]);
    let mut info = MaybeUninit::<Info>::uninit();
    // SAFETY: the set has the size that is given, and siginfo_t the 128 bytes of every processor here.
    let signal = unsafe {
        syscall4(
            nr::RT_SIGTIMEDWAIT,
            address(signals),
            info.as_mut_ptr() as usize,
            0,
            SIGNALS_SIZE,
        )
    };
    if signal <= 0 || signal == SIGCHLD as isize {
        return None;
    }
    let signal = signal as u32;
    // SAFETY: a signal was taken, so it is filled.
    let code = unsafe { (*info.as_ptr()).0[2] };
    // Codes above 0 are the kernel's. Of its end a terminal tells the leader of the session, and nobody else.
    let sent_to_all = code > 0
        && Signals::TERMINAL.contains(signal)
        && !(Signals::HANGUP.contains(signal) && leads_session());
    (!sent_to_all).then_some(signal)
}

/// This process is the leader of its session. getsid(2).
fn leads_session() -> bool {
    // SAFETY: takes no memory.
    unsafe { syscall1(nr::GETSID, 0) == getpid() }
}

/// getpid(2).
pub(crate) fn getpid() -> isize {
    // SAFETY: takes no memory.
    unsafe { syscall0(nr::GETPID) }
}

/// kill(2).
pub(crate) fn kill(pid: i32, signal: u32) {
    // SAFETY: takes no memory.
    unsafe { syscall2(nr::KILL, pid as usize, signal as usize) };
}

/// fork(2): the child's pid, in the child 0, else the negative errno.
pub(crate) fn fork() -> i32 {
    // SAFETY: no memory is shared, so both go on with a stack of their own; there are no threads.
    unsafe { syscall5(nr::CLONE, SIGCHLD as usize, 0, 0, 0, 0) as i32 }
}

/// A child that ended.
pub(crate) struct Child {
    pub(crate) pid: NonZeroI32,
    /// As wait(2) has it.
    pub(crate) status: u32,
}

const WNOHANG: usize = 1;
const WALL: usize = 0x4000_0000;

/// Waits for all children that ended. waitpid(2).
#[inline(always)]
pub(crate) fn reap_all() {
    // SAFETY: takes no memory: without an address nothing is told of them.
    while unsafe { syscall4(nr::WAIT4, usize::MAX, 0, WNOHANG | WALL, 0) } > 0 {}
}

/// Any child that ended; None while there is none. waitpid(2).
pub(crate) fn reap() -> Option<Child> {
    let mut status = MaybeUninit::<u32>::uninit();
    // SAFETY: the status is as long as the kernel's, and filled when a child is returned.
    unsafe {
        let pid = syscall4(
            nr::WAIT4,
            usize::MAX,
            status.as_mut_ptr() as usize,
            WNOHANG | WALL,
            0,
        );
        let pid = NonZeroI32::new(pid as i32).filter(|pid| pid.is_positive())?;
        Some(Child {
            pid,
            status: status.assume_init(),
        })
    }
}

/// Orphans among the descendants come to this process, as to a PID 1. PR_SET_CHILD_SUBREAPER(2const).
pub(crate) fn become_subreaper() {
    const PR_SET_CHILD_SUBREAPER: usize = 36;
    // SAFETY: takes no memory.
    unsafe { syscall2(nr::PRCTL, PR_SET_CHILD_SUBREAPER, 1) };
}

/// Ends this process when `parent` does, which may have happened. PR_SET_PDEATHSIG(2const).
///
/// No handshake is needed: who inherits this child is another process than `parent`, so getppid(2) tells. Only a child that came
/// into a new pid namespace, after unshare(1) without --fork, sees 0 in both cases.
pub(crate) fn die_with(parent: isize) {
    const PR_SET_PDEATHSIG: usize = 1;
    // SAFETY: takes no memory.
    let now = unsafe {
        syscall2(nr::PRCTL, PR_SET_PDEATHSIG, SIGKILL);
        syscall0(nr::GETPPID)
    };
    if now != parent && now != 0 {
        exit(0)
    }
}

/// execve(2); the errno.
pub(crate) fn execve(file: usize, argv: Texts, environment: Texts) -> u8 {
    // SAFETY: NUL ends the file name, and a null pointer the arrays.
    let result = unsafe { syscall3(nr::EXECVE, file, argv.address(), environment.address()) };
    -result as u8
}

/// exit_group(2).
pub(crate) fn exit(status: u8) -> ! {
    loop {
        // SAFETY: takes no memory. It does not return; the loop is for the compiler.
        unsafe { syscall1(nr::EXIT_GROUP, status.into()) };
    }
}

/// One write of all `parts`, five at most. writev(2).
pub(crate) fn write(descriptor: usize, parts: &[Text]) -> bool {
    let mut vector = [const { MaybeUninit::<[usize; 2]>::uninit() }; 5];
    for (iovec, part) in vector.iter_mut().zip(parts) {
        iovec.write([part.address(), part.length()]);
    }
    // SAFETY: an iovec is an address and a length.
    unsafe { syscall3(nr::WRITEV, descriptor, address(&vector), parts.len()) >= 0 }
}

/// Makes this process the last to be killed for want of memory, where that is allowed.
pub(crate) fn lower_oom_score() {
    /// No directory: the name is absolute.
    const NOWHERE: usize = 0;
    /// O_WRONLY | O_NONBLOCK: who knows what a box has in its /proc; a FIFO must not hold us up.
    const FLAGS: usize = 0o1 | 0o4000;
    /// As the kubelet does for its pause: last of all, but for what must never be killed.
    const SCORE: &[u8; 4] = b"-998";
    // SAFETY: the string ends with NUL, the score has the length given. Nothing else uses the descriptor, and settle() closes it.
    unsafe {
        let score = syscall4(
            nr::OPENAT,
            NOWHERE,
            Text::new(c"/proc/self/oom_score_adj").address(),
            FLAGS,
            0,
        );
        syscall3(nr::WRITE, score as usize, address(SCORE), SCORE.len());
    }
}

/// Makes this process one that stays: in the way of no umount(2), with no descriptor.
#[inline(always)]
pub(crate) fn settle() {
    /// A program that is executed by its descriptor is named after the number.
    const PR_SET_NAME: usize = 15;
    // SAFETY: the strings end with NUL. Nothing else uses the descriptors.
    unsafe {
        syscall2(nr::PRCTL, PR_SET_NAME, Text::new(c"pause").address());
        syscall1(nr::CHDIR, Text::new(c"/").address());
        syscall3(nr::CLOSE_RANGE, 0, usize::MAX, 0);
    }
}

pub(crate) fn address<T>(value: &T) -> usize {
    ptr::from_ref(value).expose_provenance()
}
