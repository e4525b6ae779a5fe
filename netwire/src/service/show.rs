//! `service show`: what was wanted, and whether the kernel has it.

use super::definition::Service;
use super::elements;
use super::table::Table;
use crate::error::Error;

/// A line for each port of each service.
pub(crate) fn table(services: &[Service]) -> Result<String, Error> {
    let mut text = row(["NAME", "ADDRESS", "PORT", "NODE", "STATE", "ENDPOINTS"]);
    if services.is_empty() {
        return Ok(text);
    }
    for (service, is_there) in services.iter().zip(are_there(services)?) {
        let lacking = !is_there;
        for port in &service.ports {
            let addresses: Vec<String> = service.addresses().map(|ip| ip.to_string()).collect();
            let node = port.node.map_or("-".to_owned(), |node| node.to_string());
            let state = match (lacking, port.to.is_empty()) {
                (true, _) => "gone",
                (false, true) => "empty",
                (false, false) => "up",
            };
            let mut to: Vec<String> = port.to.iter().take(4).map(ToString::to_string).collect();
            if port.to.len() > to.len() {
                to.push(format!("and {} more", port.to.len() - to.len()));
            }
            let to = if to.is_empty() {
                "-".to_owned()
            } else {
                to.join(" ")
            };
            let name = service.name.as_ref();
            text += &row([name, &addresses.join(","), &port.label(), &node, state, &to]);
        }
    }
    Ok(text)
}

/// Whether the kernel has all of each.
pub(crate) fn are_there(services: &[Service]) -> Result<Vec<bool>, Error> {
    if services.is_empty() {
        return Ok(Vec::new());
    }
    let there = Table::open(false)?.keys()?;
    let is_there = |service: &Service| {
        let mut lacking = false;
        elements::each(service, |entry| {
            lacking |= there.get(&(entry.set, entry.key)) != Some(&entry.data);
        });
        !lacking
    };
    Ok(services.iter().map(is_there).collect())
}

fn row([name, address, port, node, state, to]: [&str; 6]) -> String {
    format!("{name:<24} {address:<15} {port:<10} {node:<6} {state:<6} {to}\n")
}

/// What `up` reads, a line for each.
pub(crate) fn json(services: &[Service]) -> String {
    let lines = services
        .iter()
        .map(|service| serde_json::to_string(service).unwrap_or_default() + "\n");
    lines.collect()
}
