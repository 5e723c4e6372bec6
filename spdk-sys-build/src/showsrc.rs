// SPDX-License-Identifier: BSD-3-Clause

//! Chooses the tarball to download from the output of `apt-cache showsrc PACKAGE`.
//!
//! The text comes from an index that apt has checked against the archive's signature. Still, a name from it becomes a
//! file name, so it must be a plain one.

use crate::debian_version;

/// A source package's upstream tarball.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tarball {
    /// The version of the source package, `20.2.4+ds-2`.
    pub version: String,
    /// `ceph_20.2.4+ds.orig.tar.xz`.
    pub file: String,
    pub size_bytes: u64,
    /// 64 lower-case hex digits.
    pub sha256: String,
}

impl Tarball {
    /// The upstream version, `20.2.4+ds`.
    pub(crate) fn upstream_version(&self) -> &str {
        let version = self.version.split_once(':').map_or(&*self.version, |(_, rest)| rest);
        version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
    }

    /// A one-line record, stored beside the downloaded file.
    pub(crate) fn to_record(&self) -> String {
        format!("{} {} {} {}\n", self.version, self.sha256, self.size_bytes, self.file)
    }

    /// Parses what [`Self::to_record`] wrote.
    pub(crate) fn from_record(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let version = words.next()?.to_owned();
        let tarball = checksum_entry(&[words.next()?, words.next()?, words.next()?], version)?;
        words.next().is_none().then_some(tarball)
    }
}

/// The newest version of the package that has an upstream tarball.
pub(crate) fn newest_tarball(showsrc: &str, package: &str) -> Option<Tarball> {
    showsrc
        .split("\n\n")
        .filter_map(|stanza| tarball_of(stanza, package))
        .max_by(|a, b| debian_version::compare(&a.version, &b.version))
}

fn tarball_of(stanza: &str, package: &str) -> Option<Tarball> {
    if field(stanza, "Package")?.next()? != package {
        return None;
    }
    let version = field(stanza, "Version")?.next()?;
    field(stanza, "Checksums-Sha256")?
        .filter_map(|line| {
            let words: Vec<_> = line.split_whitespace().collect();
            checksum_entry(&words, version.to_owned())
        })
        .find(|tarball| tarball.file.contains(".orig.tar."))
}

/// The lines of a field: the first and its continuation lines, trimmed, without empty ones.
fn field<'a>(stanza: &'a str, name: &str) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
    let mut lines = stanza.lines();
    let first = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let continued = lines.take_while(|line| line.starts_with([' ', '\t']));
    Some(std::iter::once(first).chain(continued).map(str::trim).filter(|line| !line.is_empty()))
}

fn checksum_entry(words: &[&str], version: String) -> Option<Tarball> {
    let &[sha256, size, file] = words else {
        return None;
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
    let sound = sha256.len() == 64
        && sha256.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
        && !file.starts_with(['.', '-'])
        && file.chars().all(plain);
    sound.then_some(Tarball {
        version,
        file: file.to_owned(),
        size_bytes: size.parse().ok()?,
        sha256: sha256.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stanza(version: &str, hash: &str, file: &str) -> String {
        format!(
            "Package: ceph\nBinary: ceph, ceph-base,\n ceph-common\nVersion: {version}\nFiles:\n 6054c8 9297 ceph.dsc\n 146d36 245630284 {file}\n\
             Vcs-Git: https://example/ceph.git\nChecksums-Sha256:\n {} 9297 ceph_{version}.dsc\n {} 245630284 {file}\n {} 149616 ceph_{version}.debian.tar.xz\n\
             Homepage: http://ceph.com\n",
            "1".repeat(64),
            hash.repeat(64),
            "2".repeat(64)
        )
    }

    #[test]
    fn the_newest_version_and_its_hash_are_chosen() {
        let text = [
            stanza("18.2.7+ds-1", "a", "ceph_18.2.7+ds.orig.tar.xz"),
            stanza("20.2.4+ds-2", "b", "ceph_20.2.4+ds.orig.tar.xz"),
            stanza("20.2.4+ds-1", "c", "ceph_20.2.4+ds.orig.tar.xz"),
        ]
        .join("\n");
        let tarball = newest_tarball(&text, "ceph").expect("a tarball");
        assert_eq!(tarball.version, "20.2.4+ds-2");
        assert_eq!(tarball.upstream_version(), "20.2.4+ds");
        assert_eq!(tarball.file, "ceph_20.2.4+ds.orig.tar.xz");
        assert_eq!(tarball.size_bytes, 245_630_284);
        assert_eq!(tarball.sha256, "b".repeat(64));
        assert_eq!(Tarball::from_record(&tarball.to_record()), Some(tarball));
    }

    #[test]
    fn another_package_or_one_without_a_tarball_is_passed_over() {
        let text = stanza("20.2.4+ds-2", "b", "ceph_20.2.4+ds.orig.tar.xz");
        assert_eq!(newest_tarball(&text, "fio"), None);
        assert_eq!(newest_tarball("", "ceph"), None);
        assert_eq!(newest_tarball(&stanza("1-1", "b", "ceph_1.tar.xz"), "ceph"), None);
    }

    #[test]
    fn entries_that_are_unsafe_to_use_are_passed_over() {
        for file in ["../../x.orig.tar.xz", "a/b.orig.tar.xz", ".orig.tar.xz", "-x.orig.tar.gz"] {
            assert_eq!(newest_tarball(&stanza("1-1", "b", file), "ceph"), None, "{file}");
        }
        assert_eq!(newest_tarball(&stanza("1-1", "g", "ceph_1.orig.tar.xz"), "ceph"), None);
        assert_eq!(newest_tarball(&stanza("1-1", "bb", "ceph_1.orig.tar.xz"), "ceph"), None);
        assert_eq!(Tarball::from_record("1-1 abc"), None);
    }
}
