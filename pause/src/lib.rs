//! `pause`: holds the namespaces of a pod; with a command, its tiny init. `pause-hold`: the first half alone. pause(1) is their contract.
//!
//! The binaries link neither std nor a C library and have one page of code and constants: nothing in them allocates, panics or writes
//! anywhere but on the stack.
#![cfg_attr(not(test), no_std)]
#![no_builtins]

mod arch;
mod cli;
mod entry;
mod exec;
mod hold;
mod init;
mod memory;
mod message;
mod stack;
mod sys;
mod text;

use cli::Command;
use stack::Stack;
use sys::Signals;

/// All of `pause`: what its entry calls, with the stack as the kernel made it.
extern "C" fn run(stack: Stack) -> ! {
    // Nothing comes before this: a TERM that finds no handler kills pause, or is lost when it is PID 1.
    let inherited = sys::block_and_tell(Signals::END);
    match cli::parse(stack.arguments()) {
        Command::Hold => {
            sys::lower_oom_score();
            hold::hold(stack, memory::keep_arguments_and_wait)
        }
        Command::Init(command) => init::init(command, stack.environment(), inherited),
        Command::Print(text) => message::print(text),
        Command::Wrong(wrong, argument, status) => message::wrong(wrong, argument, status),
    }
}

/// All of `pause-hold`. It lowers no score: who starts it from an image does, and the user it has there may not.
extern "C" fn run_hold(stack: Stack) -> ! {
    sys::block(Signals::END);
    hold::hold(stack, memory::keep_nothing_and_wait)
}
