//! `metadata`: the name of a pod, its labels and annotations.

use serde_json::{Map, Value};

use crate::error::Error;
use crate::field::Field;
use crate::names;

/// `metadata`, as far as a pod has a use for it.
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) labels: Map<String, Value>,
    annotations: Map<String, Value>,
}

impl Metadata {
    pub(crate) fn read(field: &Field<'_>) -> Result<Self, Error> {
        let mut object = field.object()?;
        let name = object.required("name")?;
        let name = names::pod(&name)?.to_owned();
        let namespace = object.get("namespace");
        let namespace = namespace.map_or(Ok("default"), |field| names::label(&field))?;
        let labels = object.get("labels");
        let labels = labels.map_or(Ok(Map::new()), |field| texts(&field, true))?;
        let annotations = object.get("annotations");
        let annotations = annotations.map_or(Ok(Map::new()), |field| texts(&field, false))?;
        object.finish()?;
        Ok(Self {
            name,
            namespace: namespace.to_owned(),
            labels,
            annotations,
        })
    }

    /// OCI knows annotations only: labels are among them, and win.
    pub(crate) fn all(&self) -> Map<String, Value> {
        let mut all = self.labels.clone();
        for (key, value) in &self.annotations {
            all.entry(key.clone()).or_insert_with(|| value.clone());
        }
        all
    }
}

/// A map of strings, of which those of labels are short.
pub(crate) fn texts(field: &Field<'_>, are_labels: bool) -> Result<Map<String, Value>, Error> {
    let mut found = Map::new();
    for (key, value) in field.entries()? {
        if !names::qualified(key) {
            return Err(Error::invalid(
                &field.path,
                key,
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                 alphanumeric character, with an optional DNS subdomain prefix and '/'",
            ));
        }
        let text = value.string()?;
        if are_labels && !names::is_label_value(text) {
            return Err(value.invalid(
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', \
                 and must start and end with an alphanumeric character, 63 at most",
            ));
        }
        found.insert(key.to_owned(), text.into());
    }
    Ok(found)
}
