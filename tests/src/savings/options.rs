// SPDX-License-Identifier: BSD-3-Clause

//! The command line.

use std::path::PathBuf;

use super::sets::SetKind;

const USAGE: &str = "usage: savings oracle FILE... | savings run [OPTION VALUE]... | savings history [OPTION VALUE]...

  --sets NAME,...        of roots, sources, fio (default all)
  --depths N,...         requests under way at a time (default 1,128)
  --compression off,on   (default off,on)
  --module PATH          a module that is there already (default: built of this workspace)
  --json PATH            where the results go (default target/savings/run.json or history.json)
  --shards N             cores of the target (default 1)
  --place DIR            where the volume's file goes (default /dev/shm where half of it is enough, else /var/tmp)
  --index-mib N          size of the level-1 index for history (default 1)
  --times N              blocks for history, as a multiple of that index's records (default 12)
  --history-mib N,...    windows of level 2 for history, 0 for none (default 0,32: 16 bytes a record)";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    /// Count the blocks of files.
    Oracle(Vec<PathBuf>),
    /// Write data sets.
    Run,
    /// Write more than the level-1 index knows.
    History,
}

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// What is to be done.
    pub mode: Mode,
    /// Which data is written.
    pub sets: Vec<SetKind>,
    /// Requests under way at a time.
    pub depths: Vec<usize>,
    /// With and without compression.
    pub compression: Vec<bool>,
    /// The module; built when not given.
    pub module: Option<PathBuf>,
    /// Where the results go, when not to the usual place.
    pub json: Option<PathBuf>,
    /// Cores of the target, each of which is a shard.
    pub shards: usize,
    /// Where the volume's file goes.
    pub place: Option<PathBuf>,
    /// Size of the level-1 index for history, in MiB.
    pub index_mib: u64,
    /// Blocks for history, as a multiple of that index's records.
    pub times: u64,
    /// Windows of level 2 for history, in MiB.
    pub history_mib: Vec<u64>,
}

impl Options {
    /// Reads the command line.
    ///
    /// # Errors
    /// An argument is not known or has no good value: what is allowed.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
        let mode = match words.next().as_deref() {
            Some("oracle") => Mode::Oracle(words.by_ref().map(PathBuf::from).collect()),
            Some("run") => Mode::Run,
            Some("history") => Mode::History,
            _ => return Err(USAGE.to_owned()),
        };
        if mode == Mode::Oracle(Vec::new()) {
            return Err(USAGE.to_owned());
        }
        let mut options = Options {
            mode,
            sets: SetKind::ALL.to_vec(),
            depths: vec![1, 128],
            compression: vec![false, true],
            module: None,
            json: None,
            shards: 1,
            place: None,
            index_mib: 1,
            times: 12,
            history_mib: vec![0, 32],
        };
        while let Some(word) = words.next() {
            let value = words.next().ok_or(USAGE)?;
            match word.as_str() {
                "--sets" => options.sets = list(&value, kind)?,
                "--depths" => options.depths = list(&value, |text| number(text).filter(|&depth| depth > 0))?,
                "--compression" => options.compression = list(&value, switch)?,
                "--module" => options.module = Some(PathBuf::from(value)),
                "--json" => options.json = Some(PathBuf::from(value)),
                "--shards" => options.shards = number(&value).filter(|&shards| shards > 0).ok_or(USAGE)?,
                "--place" => options.place = Some(PathBuf::from(value)),
                "--index-mib" => options.index_mib = number(&value).filter(|&mib| mib > 0).ok_or(USAGE)?,
                "--times" => options.times = number(&value).filter(|&times| times > 0).ok_or(USAGE)?,
                "--history-mib" => options.history_mib = list(&value, number)?,
                _ => return Err(USAGE.to_owned()),
            }
        }
        Ok(options)
    }
}

impl Options {
    /// Where the results go.
    #[must_use]
    pub fn json_path(&self) -> PathBuf {
        let usual = if self.mode == Mode::History { "target/savings/history.json" } else { "target/savings/run.json" };
        self.json.clone().unwrap_or_else(|| usual.into())
    }
}

fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, String> {
    text.split(',').map(|part| read(part).ok_or_else(|| USAGE.to_owned())).collect()
}

fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn kind(text: &str) -> Option<SetKind> {
    SetKind::ALL.into_iter().find(|kind| kind.name() == text)
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn modes_and_options_are_read() {
        let options = parse("run --sets fio,roots --depths 1,32 --compression on --shards 2").expect("good");
        assert_eq!(options.json_path(), PathBuf::from("target/savings/run.json"));
        assert_eq!((options.mode, options.shards), (Mode::Run, 2));
        assert_eq!((options.sets, options.depths), (vec![SetKind::Fio, SetKind::Roots], vec![1, 32]));
        assert_eq!(options.compression, [true]);
        assert_eq!(parse("history --json /x").expect("good").json_path(), PathBuf::from("/x"));
        assert_eq!(parse("oracle a b").expect("good").mode, Mode::Oracle(vec!["a".into(), "b".into()]));
        for bad in ["", "oracle", "run --sets x", "run --depths 0", "run --depths", "run --what 1", "twice"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
