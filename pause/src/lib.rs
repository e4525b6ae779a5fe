//! `pause`: holds the namespaces of a pod; with a command, its tiny init. pause(1) is its contract.
//!
//! The binary links neither std nor a C library and has one page of code and constants: nothing in it allocates, panics or writes
//! anywhere but on the stack.
#![cfg_attr(not(test), no_std)]
#![no_builtins]

mod arch;
mod cli;
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

/// All of `pause`: what the entry of each processor calls, with the stack as the kernel made it.
extern "C" fn run(stack: Stack) -> ! {
    // Nothing comes before this: a TERM that finds no handler kills pause, or is lost when it is PID 1.
    let inherited = sys::block(Signals::END);
    match cli::parse(stack.arguments()) {
        Command::Hold => hold::hold(stack),
        Command::Init(command) => init::init(command, stack.environment(), inherited),
        Command::Print(text) => message::print(text),
        Command::Wrong(wrong, argument, status) => message::wrong(wrong, argument, status),
    }
}
