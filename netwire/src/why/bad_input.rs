//! What the kernel answers, and what lies in files, as anybody could have changed it; and command lines.

use std::hint::black_box;

use clap::{CommandFactory, Parser};
use fuzz::Target;

use super::{dns, kernel, rules};
use crate::cli::Cli;
use crate::{check, forwarding, lease, link, netlink, nft, routes, service, state};

#[test]
fn a_value_is_read_or_bad_usage() {
    fuzz::arguments("cli-netwire", Cli::command(), |words| {
        let _ = Cli::try_parse_from(words).map_err(|error| error.to_string());
    });
}

/// Everything that is ever read of the payload of a message, whatever it was an answer to.
fn look_at(payload: &[u8]) {
    black_box((link::kind(payload), link::master(payload)));
    black_box((routes::parse(payload, 2), kernel::parse(payload).is_ok()));
    black_box((
        nft::set_name(payload),
        nft::generation(payload),
        nft::elements("s", payload),
    ));
    black_box((
        rules::chain(payload),
        rules::rule(payload),
        rules::set_kind(payload),
    ));
    black_box((
        rules::elements(payload).len(),
        forwarding::chain(payload).is_some(),
    ));
    black_box(check::nftables::parse(payload).is_some());
}

#[test]
fn an_answer_of_the_kernel_is_read_or_passed_over() {
    Target::new("netlink").cases(6000).run(|input| {
        look_at(input);
        netlink::each(input, look_at);
    });
}

#[test]
fn an_answer_about_a_name_is_read_or_passed_over() {
    Target::new("dns").cases(4000).run(|input| {
        for kind in [1, 28] {
            let number = u16::from_be_bytes([
                input.first().copied().unwrap_or(0),
                input.get(1).copied().unwrap_or(0),
            ]);
            black_box(dns::parse(input, number, kind).is_some());
        }
    });
}

#[test]
fn services_are_read_or_refused() {
    Target::new("services").bound(8 << 20, 256).run(|input| {
        black_box(service::kubernetes::read(input).is_ok());
        black_box(service::store::services(input).is_ok());
    });
}

#[test]
fn files_of_others_are_read_or_refused() {
    Target::new("leases").run(|input| {
        let text = String::from_utf8_lossy(input);
        black_box(lease::Owner::parse(&text).is_some());
        black_box(dns::Resolver::parse(&text, "/etc/resolv.conf"));
    });
    Target::new("record").run(|input| {
        if let Ok(record) = record::Record::parse(input)
            && let Some(value) = record.get("netwire")
        {
            black_box(state::attachments(value).is_ok());
            black_box(state::restored(value).is_ok());
        }
    });
}
