//! How an interface of a pod is connected.

use std::fmt;

use serde_json::{Map, Value};

use crate::device::Moved;
use crate::plan::Ifname;

/// A port of a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) bridge: Ifname,
    /// It reaches the bridge itself and ports that are not isolated.
    pub(crate) isolated: bool,
    /// None: the bridge's own default.
    pub(crate) vlan: Option<u16>,
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--bridge {}", self.bridge)?;
        f.write_str(if self.isolated { " --isolated" } else { "" })?;
        self.vlan.map_or(Ok(()), |vlan| write!(f, " --vlan {vlan}"))
    }
}

/// How it is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    /// To the host, by a link of its own.
    Ptp,
    /// To a bridge of the host.
    Bridge(Port),
    /// Not at all: lo, switched on.
    Loopback,
    /// It is an interface of the host that was moved in.
    Device(Moved),
}

impl Mode {
    /// The bridge, if there is one.
    pub(crate) fn port(&self) -> Option<&Port> {
        match self {
            Self::Bridge(port) => Some(port),
            _ => None,
        }
    }

    /// The interface that was moved in.
    pub(crate) fn moved(&self) -> Option<&Moved> {
        match self {
            Self::Device(moved) => Some(moved),
            _ => None,
        }
    }

    /// Whether there is nothing of it on the host.
    pub(crate) fn is_inside(&self) -> bool {
        matches!(self, Self::Loopback | Self::Device(_))
    }

    pub(crate) fn is_loopback(&self) -> bool {
        *self == Self::Loopback
    }

    /// Its keys of an attachment; point to point has none.
    pub(crate) fn add_to(&self, object: &mut Map<String, Value>) {
        match self {
            Self::Ptp => {}
            Self::Device(moved) => moved.add_to(object),
            Self::Loopback => drop(object.insert("mode".into(), "none".into())),
            Self::Bridge(port) => {
                object.insert("bridge".into(), port.bridge.as_ref().into());
                if port.isolated {
                    object.insert("isolated".into(), true.into());
                }
                if let Some(vlan) = port.vlan {
                    object.insert("vlan".into(), vlan.into());
                }
            }
        }
    }

    pub(crate) fn from_json(value: &Value) -> Result<Self, String> {
        match value.get("mode").map(Value::as_str) {
            Some(Some("none")) => return Ok(Self::Loopback),
            Some(_) => return Err("mode: none is the only one that is written".into()),
            None => {}
        }
        if value.get("device").is_some() {
            return Moved::from_json(value).map(Self::Device);
        }
        let Some(bridge) = value.get("bridge") else {
            return Ok(Self::Ptp);
        };
        let bridge = bridge.as_str().unwrap_or_default().parse();
        let vlan = match value.get("vlan") {
            None => None,
            Some(vlan) => {
                let number = vlan.as_u64().and_then(|vlan| u16::try_from(vlan).ok());
                let number = number.filter(|vlan| (1..=4094).contains(vlan));
                Some(number.ok_or("vlan: not from 1 to 4094")?)
            }
        };
        Ok(Self::Bridge(Port {
            bridge: bridge.map_err(|why| format!("bridge: {why}"))?,
            isolated: value.get("isolated") == Some(&Value::Bool(true)),
            vlan,
        }))
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ptp => f.write_str("point to point"),
            Self::Bridge(port) => port.fmt(f),
            Self::Loopback => f.write_str("--mode none"),
            Self::Device(moved) => write!(f, "--device {}", moved.name),
        }
    }
}
