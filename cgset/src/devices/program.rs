//! Rules as a program of the kernel's, for v2, which has no files for them: bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`, Linux 4.15.
//!
//! The program is asked for each open(2) and mknod(2) of a device by a process in the group or below it; what is open already is
//! not asked about. It goes with the group.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use serde_json::Value as Json;
use sys::{Call, SysError};

use super::{Kind, Rule, Rules};
use crate::group::Group;
use crate::sys::{bpf_info, bpf_prog_attach, bpf_prog_get_fd_by_id, bpf_prog_load, bpf_prog_query};

/// One instruction: operation, registers, offset of a jump, number.
type Instruction = [u8; 8];

/// By which ours are told from others'; 15 letters at most.
const OURS: &[u8] = b"chroot0_devices";

// linux/bpf.h and linux/bpf_common.h; the 32-bit jumps are Linux 5.1.
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_IF_NOT_EQUAL: u8 = 0x56;
const JUMP_IF_ANY: u8 = 0x46;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

/// What the verdict is in when the program ends.
const VERDICT: u8 = 0;
/// Where `struct bpf_cgroup_dev_ctx` is.
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
/// What was asked for and not allowed yet.
const ASKED: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

fn instruction(operation: u8, (to, from): (u8, u8), offset: i16, number: u32) -> Instruction {
    let registers = match cfg!(target_endian = "little") {
        true => from << 4 | to,
        false => to << 4 | from,
    };
    let ([o1, o2], [n1, n2, n3, n4]) = (offset.to_ne_bytes(), number.to_ne_bytes());
    [operation, registers, o1, o2, n1, n2, n3, n4]
}

/// The program: the last rule is asked first, and the first to speak of an access decides on it.
fn assemble(rules: &Rules) -> Vec<Instruction> {
    let end = |allow: bool| {
        [
            instruction(MOVE, (VERDICT, 0), 0, allow.into()),
            instruction(EXIT, (0, 0), 0, 0),
        ]
    };
    let mut program = vec![
        // access_type: the kind below, the access above
        instruction(LOAD_WORD, (KIND, CONTEXT), 0, 0),
        instruction(MOVE_REGISTER, (ASKED, KIND), 0, 0),
        instruction(SHIFT_RIGHT, (ASKED, 0), 0, 16),
        instruction(AND, (KIND, 0), 0, 0xffff),
        instruction(LOAD_WORD, (MAJOR, CONTEXT), 4, 0),
        instruction(LOAD_WORD, (MINOR, CONTEXT), 8, 0),
    ];
    for rule in rules.iter().rev() {
        let Some(devices) = rule.of else {
            // What came before does not count, and the kernel takes no instruction that is never reached.
            program.extend(end(rule.allow));
            return program;
        };
        let kind = match devices.kind {
            Kind::Block => 1,
            Kind::Character => 2,
        };
        let wanted = [
            (KIND, Some(kind)),
            (MAJOR, devices.major),
            (MINOR, devices.minor),
        ];
        let wanted = wanted.map(|(register, number)| Some((register, number?)));
        let verdict = verdict(rule);
        let mut left = wanted.iter().flatten().count();
        for (register, number) in wanted.into_iter().flatten() {
            left -= 1;
            // twelve instructions at most
            let offset = i16::try_from(left + verdict.len()).unwrap_or(i16::MAX);
            program.push(instruction(
                JUMP_IF_NOT_EQUAL,
                (register, 0),
                offset,
                number,
            ));
        }
        program.extend(verdict);
    }
    program.extend(end(true));
    program
}

/// What a rule says of a device that it speaks of.
fn verdict(rule: &Rule) -> Vec<Instruction> {
    let access = u32::from(rule.access.bits());
    let [verdict, exit] = [
        instruction(MOVE, (VERDICT, 0), 0, rule.allow.into()),
        instruction(EXIT, (0, 0), 0, 0),
    ];
    match rule.allow {
        true => vec![
            instruction(AND, (ASKED, 0), 0, !access),
            instruction(JUMP_IF_NOT_EQUAL, (ASKED, 0), 2, 0),
            verdict,
            exit,
        ],
        false => vec![
            instruction(JUMP_IF_ANY, (ASKED, 0), 1, access),
            instruction(JUMP, (0, 0), 2, 0),
            verdict,
            exit,
        ],
    }
}

fn load(rules: &Rules, group: &Group) -> Result<OwnedFd, SysError> {
    let call = || format!("bpf(BPF_PROG_LOAD, devices of {})", group.path().display());
    let loaded = bpf_prog_load(&assemble(rules), OURS).call(call);
    loaded.map_err(|error| match error.errno {
        Errno::EPERM => error.hint("needs CAP_BPF and CAP_NET_ADMIN of the machine: a user namespace has no rules of devices on v2"),
        Errno::EINVAL | Errno::ENOSYS => error.hint("this kernel is built without CONFIG_CGROUP_BPF"),
        _ => error,
    })
}

/// The program of ours that is attached to `group` itself.
fn of(group: &Group) -> Result<Option<(OwnedFd, [u8; 8])>, SysError> {
    let call = || format!("bpf(BPF_PROG_QUERY, {})", group.path().display());
    for id in bpf_prog_query(group.as_fd()).call(call)? {
        let program =
            bpf_prog_get_fd_by_id(id).call(|| format!("bpf(BPF_PROG_GET_FD_BY_ID, {id})"))?;
        let (tag, name) =
            bpf_info(program.as_fd()).call(|| "bpf(BPF_OBJ_GET_INFO_BY_FD)".into())?;
        if name.starts_with(OURS) {
            return Ok(Some((program, tag)));
        }
    }
    Ok(None)
}

/// Attaches `rules` to `group`, at once in the place of what was there of ours.
pub(crate) fn attach(rules: &Rules, group: &Group) -> Result<(), SysError> {
    let (new, old) = (load(rules, group)?, of(group)?);
    let replaced = old.as_ref().map(|(program, _)| program.as_fd());
    let call = || format!("bpf(BPF_PROG_ATTACH, {})", group.path().display());
    let attached = bpf_prog_attach(new.as_fd(), group.as_fd(), replaced).call(call);
    attached.map_err(|error| match error.errno {
        Errno::EPERM => error.hint("a group above has a program that allows no other beside it"),
        _ => error,
    })
}

/// `rules` as they are spelt if it is they that the kernel has for `group`, by the sum it makes of a program; else null.
pub(crate) fn attached(rules: &Rules, group: &Group) -> Result<Json, SysError> {
    let Some((_, there)) = of(group)? else {
        return Ok(Json::Null);
    };
    let ours = load(rules, group)?;
    let (tag, _) = bpf_info(ours.as_fd()).call(|| "bpf(BPF_OBJ_GET_INFO_BY_FD)".into())?;
    Ok(match tag == there {
        true => rules.spelt().into(),
        false => Json::Null,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Access;
    use super::*;

    /// Runs it as the kernel does; panics at what the kernel would refuse.
    fn run(program: &[Instruction], (kind, access, major, minor): (u32, u32, u32, u32)) -> bool {
        let context = [access << 16 | kind, major, minor];
        let mut registers = [None::<u32>; 6];
        let mut at = 0;
        loop {
            let [operation, both, o1, o2, n1, n2, n3, n4] = program[at];
            let (to, from) = (usize::from(both & 15), usize::from(both >> 4));
            let offset = i16::from_ne_bytes([o1, o2]);
            let number = u32::from_ne_bytes([n1, n2, n3, n4]);
            at += 1;
            let jump = match operation {
                LOAD_WORD => {
                    assert_eq!(from, usize::from(CONTEXT));
                    registers[to] = Some(context[usize::try_from(offset / 4).unwrap()]);
                    false
                }
                MOVE => {
                    registers[to] = Some(number);
                    false
                }
                MOVE_REGISTER => {
                    registers[to] = registers[from];
                    false
                }
                AND => {
                    registers[to] = Some(registers[to].unwrap() & number);
                    false
                }
                SHIFT_RIGHT => {
                    registers[to] = Some(registers[to].unwrap() >> number);
                    false
                }
                JUMP_IF_NOT_EQUAL => registers[to].unwrap() != number,
                JUMP_IF_ANY => registers[to].unwrap() & number != 0,
                JUMP => true,
                EXIT => return registers[0].unwrap() != 0,
                other => panic!("{other:#x}"),
            };
            if jump {
                at += usize::try_from(offset).expect("no way back");
            }
        }
    }

    /// The same by the rules' own meaning: each access by the last rule that speaks of it.
    fn allowed(rules: &Rules, (kind, access, major, minor): (u32, u32, u32, u32)) -> bool {
        let kind = if kind == 1 {
            Kind::Block
        } else {
            Kind::Character
        };
        let is_of = |rule: &&Rule, bit: u32| {
            let is =
                |wanted: Option<u32>, number: u32| wanted.is_none_or(|wanted| wanted == number);
            let devices = rule
                .of
                .is_none_or(|of| of.kind == kind && is(of.major, major) && is(of.minor, minor));
            devices && u32::from(rule.access.bits()) & bit != 0
        };
        [1, 2, 4]
            .into_iter()
            .filter(|bit| access & bit != 0)
            .all(|bit| {
                rules
                    .iter()
                    .rev()
                    .find(|rule| is_of(rule, bit))
                    .is_none_or(|rule| rule.allow)
            })
    }

    /// Every access to some devices, asked of the program and of the rules.
    fn agrees(rules: &Rules) {
        let program = assemble(rules);
        for kind in [1, 2] {
            for access in 1..8 {
                for (major, minor) in [
                    (1, 3),
                    (1, 5),
                    (5, 3),
                    (136, 7),
                    (u32::MAX, 0),
                    (0, u32::MAX),
                ] {
                    let asked = (kind, access, major, minor);
                    assert_eq!(
                        run(&program, asked),
                        allowed(rules, asked),
                        "{} {asked:?}",
                        rules.spelt()
                    );
                }
            }
        }
    }

    #[test]
    fn the_program_says_what_the_rules_say() {
        for text in [
            "none",
            "all",
            "default",
            "c 1:3 r",
            "deny c 1:3 w",
            "none, c *:* m, c 1:* rw, deny c 1:5 w, b 4294967295:* m",
        ] {
            agrees(&Rules::list(text).unwrap());
        }
        // some thousand others, the same ones in each run
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut next = |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for _ in 0..2000 {
            let mut items = Vec::new();
            for _ in 0..=next(6) {
                let verdict = ["allow", "deny"][usize::try_from(next(2)).unwrap()];
                let kind = ["a", "b", "c"][usize::try_from(next(3)).unwrap()];
                let number = ["*", "1", "3", "5"].map(str::to_owned);
                let (major, minor) = (next(4), next(4));
                let access = super::super::Access(u8::try_from(next(7) + 1).unwrap());
                items.push(format!(
                    "{verdict} {kind} {}:{} {access}",
                    number[usize::try_from(major).unwrap()],
                    number[usize::try_from(minor).unwrap()]
                ));
            }
            agrees(&Rules::list(&items.join(",")).unwrap());
        }
    }

    #[test]
    fn every_instruction_can_be_reached() {
        let rules = Rules::list("c 1:3 r, none, c 1:3 rw").unwrap();
        assert_eq!(rules.iter().count(), 2);
        let program = assemble(&rules);
        assert_eq!(program.len(), 6 + 3 + 4 + 2);
        assert_eq!(Access::ALL.bits(), 7);
    }
}
