//! `show --all --dot`, `--svg`: all pods and what they are connected by, as a picture.

mod dot;
mod gather;
mod model;
mod svg;

use crate::error::Error;

/// For graphviz.
pub(crate) fn dot() -> Result<String, Error> {
    Ok(dot::draw(&gather::gather()?))
}

/// For whatever shows pictures.
pub(crate) fn svg() -> Result<String, Error> {
    Ok(svg::draw(&gather::gather()?))
}
