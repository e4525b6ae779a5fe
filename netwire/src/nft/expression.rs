//! The steps of a rule.

use super::{Attributes, REGISTERS};

/// One step of a rule: it fills registers, or ends the rule unless they are as wanted, or does something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expression(Attributes);

impl Expression {
    /// As an element of a rule's list.
    pub(super) fn attributes(&self) -> &Attributes {
        &self.0
    }

    pub(super) fn new(name: &str, data: &Attributes) -> Self {
        Self(Attributes::default().text(1, name).nested(2, data))
    }

    /// What is known beside the packet: `NFT_META_…` into a register.
    pub(crate) fn meta(key: u32, register: u32) -> Self {
        Self::new(
            "meta",
            &Attributes::default().number(1, register).number(2, key),
        )
    }

    /// And a register into it.
    pub(crate) fn set_meta(key: u32, register: u32) -> Self {
        Self::new(
            "meta",
            &Attributes::default().number(2, key).number(3, register),
        )
    }

    /// Bytes of a header (0: of the link, 1: of the network, 2: of the transport) into a register.
    pub(crate) fn payload(header: u32, offset: u32, length: u32, register: u32) -> Self {
        let data = Attributes::default().number(1, register).number(2, header);
        Self::new("payload", &data.number(3, offset).number(4, length))
    }

    /// What connection tracking knows: `NFT_CT_…` into a register.
    pub(crate) fn ct(key: u32, register: u32) -> Self {
        Self::new(
            "ct",
            &Attributes::default().number(1, register).number(2, key),
        )
    }

    /// What kind of address the destination is: `RTN_…` into a register.
    pub(crate) fn fib_daddr_type(register: u32) -> Self {
        let (result, flags) = (3, 2);
        let data = Attributes::default().number(1, register).number(2, result);
        Self::new("fib", &data.number(3, flags))
    }

    /// And the source.
    pub(crate) fn fib_saddr_type(register: u32) -> Self {
        let (result, flags) = (3, 1);
        let data = Attributes::default().number(1, register).number(2, result);
        Self::new("fib", &data.number(3, flags))
    }

    /// By which interface an answer to the source would leave, if that is the one it came in by, else 0.
    pub(crate) fn fib_saddr_iif_oif(register: u32) -> Self {
        let (result, flags) = (1, 1 | 8);
        let data = Attributes::default().number(1, register).number(2, result);
        Self::new("fib", &data.number(3, flags))
    }

    /// Goes on when a register is `value`.
    pub(crate) fn equal(register: u32, value: &[u8]) -> Self {
        Self::compare(register, 0, value)
    }

    /// Goes on when it is not.
    pub(crate) fn differs(register: u32, value: &[u8]) -> Self {
        Self::compare(register, 1, value)
    }

    fn compare(register: u32, operation: u32, value: &[u8]) -> Self {
        let data = Attributes::default()
            .number(1, register)
            .number(2, operation);
        Self::new(
            "cmp",
            &data.nested(3, &Attributes::default().bytes(1, value)),
        )
    }

    /// The four bytes of a register, AND `mask`, XOR `xor`.
    pub(crate) fn bits(register: u32, mask: [u8; 4], xor: [u8; 4]) -> Self {
        let value = |bytes: [u8; 4]| Attributes::default().bytes(1, &bytes);
        let data = Attributes::default()
            .number(1, register)
            .number(2, register);
        let data = data
            .number(3, 4)
            .nested(4, &value(mask))
            .nested(5, &value(xor));
        Self::new("bitwise", &data)
    }

    /// Goes on when what is in the registers is in the set; `inverted`, when it is not.
    pub(crate) fn lookup(set: &str, inverted: bool) -> Self {
        let data = Attributes::default().text(1, set).number(2, REGISTERS[0]);
        Self::new("lookup", &data.number(5, u32::from(inverted)))
    }

    /// Goes on when it is a key of the map, with the data in the registers.
    pub(crate) fn lookup_data(map: &str) -> Self {
        let data = Attributes::default().text(1, map).number(2, REGISTERS[0]);
        Self::new("lookup", &data.number(3, REGISTERS[0]))
    }

    /// To the address in the first register and the port in `port`.
    pub(crate) fn dnat(family: u32, port: u32) -> Self {
        const NFT_NAT_DNAT: u32 = 1;
        let data = Attributes::default()
            .number(1, NFT_NAT_DNAT)
            .number(2, family);
        Self::new("nat", &data.number(3, REGISTERS[0]).number(5, port))
    }

    /// From the address of the interface it leaves by.
    pub(crate) fn masquerade() -> Self {
        Self::new("masq", &Attributes::default())
    }

    /// Ends the packet's way.
    pub(crate) fn drop() -> Self {
        Self::verdict(0)
    }

    /// Ends its way through this chain.
    pub(crate) fn accept() -> Self {
        Self::verdict(1)
    }

    fn verdict(code: u32) -> Self {
        let verdict = Attributes::default().nested(2, &Attributes::default().number(1, code));
        Self::new(
            "immediate",
            &Attributes::default().number(1, 0).nested(2, &verdict),
        )
    }
}
