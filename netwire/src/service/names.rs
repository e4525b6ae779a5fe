//! `service names`: the hosts file that name servers answer from.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use sys::Call;

use super::definition::Service;
use super::name::is_label;
use super::pods::Pod;
use crate::error::Error;

/// A line for each address of each service, and one for each of each pod. The first name is what the address is called.
pub(crate) fn hosts(services: &[Service], pods: &[Pod], domain: &str) -> String {
    let mut text = String::new();
    let mut short = BTreeSet::new();
    for service in services {
        let (namespace, name) = service.name.parts();
        let mut names = vec![
            format!("{name}.{namespace}.svc.{domain}"),
            format!("{name}.{namespace}.svc"),
            format!("{name}.{namespace}"),
        ];
        if namespace == "default" {
            names.push(name.to_owned());
            short.insert(name);
        }
        for ip in &service.vips {
            let _ = writeln!(text, "{ip}\t{}", names.join(" "));
        }
    }
    for pod in pods {
        for ip in &pod.ips {
            let dashes = ip.to_string().replace(['.', ':'], "-");
            let mut names = vec![format!("{}.default.pod.{domain}", dashes.trim_matches('-'))];
            let id = pod.id.as_str();
            // An id may be what no name can be.
            if is_label(id) {
                names.push(format!("{id}.pod.{domain}"));
                if !short.contains(id) {
                    names.push(id.to_owned());
                }
            }
            let _ = writeln!(text, "{ip}\t{}", names.join(" "));
        }
    }
    text
}

/// Whole or not at all: a name server may read it at any moment.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = fs::write(&new, text)
        .call(|| format!("write({})", new.display()))
        .and_then(|()| {
            fs::rename(&new, path).call(|| format!("rename({}, {})", new.display(), path.display()))
        });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    Ok(written?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_and_pods_have_the_names_of_kubernetes() {
        let line = r#"{"name":"kube-system/kube-dns","vips":["10.96.0.10"],"ports":[]}"#;
        let dns: Service = serde_json::from_str(line).unwrap();
        let web: Service =
            serde_json::from_str(r#"{"name":"web","vips":["10.96.0.1","fd00::1"],"ports":[]}"#)
                .unwrap();
        let pod = |id: &str, ip: &str| Pod {
            id: id.into(),
            ips: vec![ip.parse().unwrap()],
        };
        let pods = [
            pod("foo", "10.244.0.2"),
            pod("web", "10.244.0.3"),
            pod("A_b", "fd00::2"),
        ];
        let expected = "10.96.0.10\tkube-dns.kube-system.svc.cluster.local kube-dns.kube-system.svc kube-dns.kube-system
10.96.0.1\tweb.default.svc.cluster.local web.default.svc web.default web
fd00::1\tweb.default.svc.cluster.local web.default.svc web.default web
10.244.0.2\t10-244-0-2.default.pod.cluster.local foo.pod.cluster.local foo
10.244.0.3\t10-244-0-3.default.pod.cluster.local web.pod.cluster.local
fd00::2\tfd00--2.default.pod.cluster.local
";
        assert_eq!(hosts(&[dns, web], &pods, "cluster.local"), expected);
    }
}
