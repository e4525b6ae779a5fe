//! `--with locale`: locale(7), as glibc and musl keep them.

use std::path::{Path, PathBuf};

use crate::bundles::{below, existing, variable};
use crate::error::Error;
use crate::origin::Origin;

/// Of glibc.
pub(crate) const LOCALES: &str = "/usr/lib/locale";
const MUSL_LOCALES: &str = "/usr/share/i18n/locales/musl";

/// C.UTF-8 is a directory of its own or, as in musl and glibc 2.35, also in the library; others lie in directories, or
/// all in one archive.
///
/// # Errors
/// A directory of one has too many files.
pub(crate) fn files(origin: &Origin) -> Result<Vec<PathBuf>, Error> {
    let mut names = vec!["C.utf8".to_owned()];
    for variable_name in ["LC_ALL", "LC_CTYPE", "LANG"] {
        names.extend(
            variable(origin, variable_name)
                .iter()
                .flat_map(|name| spellings(name)),
        );
    }
    names.retain(|name| !name.contains('/') && !name.starts_with('.'));
    let (mut files, mut seen) = (Vec::new(), Vec::new());
    for name in &names {
        if seen.contains(&name) {
            continue;
        }
        seen.push(name);
        for root in [LOCALES, MUSL_LOCALES] {
            let path = Path::new(root).join(name);
            if origin.metadata(&path).is_ok() {
                files.extend(below(origin, &path)?);
            }
        }
    }
    let is_found = |name: &&String| {
        files
            .iter()
            .any(|file| file.starts_with(Path::new(LOCALES).join(name)))
    };
    if names.len() > 1 && !names[1..].iter().any(|name| is_found(&name)) || files.is_empty() {
        files.extend(existing(
            origin,
            [Path::new(LOCALES).join("locale-archive")],
        ));
    }
    Ok(files)
}

/// How a locale's directory may be called: `de_DE.UTF-8` is `de_DE.utf8`, or just `de_DE`.
fn spellings(name: &str) -> Vec<String> {
    if matches!(name, "C" | "POSIX") {
        return Vec::new();
    }
    let mut spellings = vec![name.to_owned()];
    if let Some((language, charset)) = name.split_once('.') {
        let charset: String = charset
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        spellings.push(format!("{language}.{}", charset.to_lowercase()));
        spellings.push(language.to_owned());
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_has_several_spellings() {
        assert_eq!(
            spellings("de_DE.UTF-8"),
            ["de_DE.UTF-8", "de_DE.utf8", "de_DE"]
        );
        assert_eq!(spellings("C"), [""; 0]);
    }
}
