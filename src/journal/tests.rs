//! Rewrites and recoveries of real files, also while other programs use them.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use super::disk::Disk;
use super::format::Journal;
use super::steps::tests::{Case, FailingDisk, cases, forward_reads};
use super::*;
use crate::error::Hint;

/// Replaces a file with another. The second argument is the file's old contents.
type Replace = fn(&Real, &[u8]);

/// A real file in its own directory.
struct Real {
    dir: tempfile::TempDir,
}

impl Real {
    fn new(bytes: &[u8]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.tar"), bytes).unwrap();
        Real { dir }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("a.tar")
    }

    fn place(&self) -> HeldPath {
        HeldPath::of(&self.path()).unwrap()
    }

    fn journal(&self) -> PathBuf {
        self.dir.path().join(".a.tar.ocify-journal")
    }

    fn rewrite_until(&self, case: &Case, left: usize, quarters: usize) -> bool {
        let (place, path) = (self.place(), self.path());
        let file = open_writable(&place, &path).unwrap();
        let files = Files::new(&file, &place, &path).unwrap();
        let mut disk = FailingDisk::power_failure(files, left, quarters);
        case.rewrite(&mut disk).is_ok()
    }

    /// The names in the directory, sorted.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

#[test]
fn real_files_are_restored_after_any_step() {
    for case in cases() {
        let steps = case.steps();
        for left in 0..=steps {
            for quarters in 0..4 {
                let real = Real::new(&case.old);
                let is_done = real.rewrite_until(&case, left, quarters);
                assert_eq!(is_done, left == steps);
                let has_journal = real.journal().exists();
                // A file with a journal must not be read.
                let opened = crate::input::Source::open(real.path());
                let code = opened.err().map(|error| error.code());
                assert_eq!(code, has_journal.then_some(Code::UnfinishedFix));
                let found = recover(&real.path()).unwrap();
                // It gets its name when it is complete.
                assert_eq!(has_journal, (4..steps - 1).contains(&left));
                let expected = match has_journal {
                    false => Recovery::Nothing,
                    true => Recovery::Restored,
                };
                assert_eq!(found, expected, "{}, {left}, {quarters}", case.name);
                let bytes = fs::read(real.path()).unwrap();
                case.check(&bytes, &format!("after {left} steps"));
                assert_eq!(
                    bytes == case.new,
                    left + 1 >= steps,
                    "{}, {left}",
                    case.name
                );
                assert!(!real.journal().exists());
                assert_eq!(recover(&real.path()).unwrap(), Recovery::Nothing);
            }
        }
    }
}

#[test]
fn a_replaced_file_is_left_unchanged() {
    let case = &cases()[1];
    let replace: [(&str, Replace); 4] = [
        ("another file with the same name", |real, old| {
            let beside = real.dir.path().join("new");
            fs::write(&beside, old).unwrap();
            fs::rename(beside, real.path()).unwrap();
        }),
        ("other contents", |real, old| {
            let mut other = old.to_vec();
            other[800..890].fill(b'x');
            fs::write(real.path(), other).unwrap();
        }),
        ("shorter", |real, _| {
            fs::write(real.path(), b"short").unwrap();
        }),
        ("longer", |real, old| {
            let mut longer = old.to_vec();
            longer.resize(old.len() + 9000, 0);
            fs::write(real.path(), longer).unwrap();
        }),
    ];
    for (name, replace) in replace {
        let real = Real::new(&case.old);
        assert!(!real.rewrite_until(case, 7, 2));
        replace(&real, &case.old);
        let before = fs::read(real.path()).unwrap();
        let error = recover(&real.path()).unwrap_err();
        assert_eq!(error.code(), Code::ForeignJournal, "{name}");
        // The other one may be a copy.
        let hint = match name {
            "another file with the same name" => Hint::RecoverOriginal,
            _ => Hint::RemoveJournal,
        };
        assert_eq!(error.hint(), Some(&hint), "{name}");
        assert_eq!(fs::read(real.path()).unwrap(), before, "{name}");
        assert!(real.journal().exists(), "{name}");
    }
}

#[test]
fn untrusted_journals_are_refused() {
    let case = &cases()[0];
    let real = Real::new(&case.old);
    std::os::unix::fs::symlink("/etc/passwd", real.journal()).unwrap();
    assert!(recover(&real.path()).is_err());
    fs::remove_file(real.journal()).unwrap();
    fs::create_dir(real.journal()).unwrap();
    assert_eq!(
        recover(&real.path()).unwrap_err().code(),
        Code::ForeignJournal
    );
    fs::remove_dir(real.journal()).unwrap();
    assert_eq!(fs::read(real.path()).unwrap(), case.old);
    // A complete journal of another file.
    fs::write(real.journal(), Journal::default().encode()).unwrap();
    assert_eq!(
        recover(&real.path()).unwrap_err().code(),
        Code::ForeignJournal
    );
}

#[test]
fn a_running_rewrite_is_not_disturbed() {
    let case = &cases()[0];
    let real = Real::new(&case.old);
    assert!(!real.rewrite_until(case, 6, 0));
    let file = Arc::new(open_writable(&real.place(), &real.path()).unwrap());
    let locked = Locked::exclusive(&file, &real.path()).unwrap();
    for error in [
        recover(&real.path()).unwrap_err(),
        crate::input::Source::open(real.path()).unwrap_err(),
        crate::input::Source::open_in_place(&real.path()).unwrap_err(),
    ] {
        assert_eq!(error.code(), Code::FileBusy);
    }
    assert!(real.journal().exists());
    drop(locked);
    assert_eq!(recover(&real.path()).unwrap(), Recovery::Restored);
    // Readers exclude writers, but not each other.
    let reader = crate::input::Source::open(real.path()).unwrap();
    crate::input::Source::open(real.path()).unwrap();
    let error = crate::input::Source::open_in_place(&real.path()).unwrap_err();
    assert_eq!(error.code(), Code::FileBusy);
    drop(reader);
    crate::input::Source::open_in_place(&real.path()).unwrap();
}

#[test]
fn a_link_and_its_target_share_a_journal() {
    let case = &cases()[0];
    let real = Real::new(&case.old);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    std::os::unix::fs::symlink(real.path(), &link).unwrap();
    assert!(!real.rewrite_until(case, 7, 0));
    assert_eq!(recover(&link).unwrap(), Recovery::Restored);
    assert_eq!(fs::read(real.path()).unwrap(), case.old);
}

#[test]
fn a_damaged_journal_is_kept_beside_earlier_ones() {
    let case = &cases()[1];
    for number in 1..4 {
        let real = Real::new(&case.old);
        for earlier in 1..number {
            let end = if earlier == 1 {
                String::new()
            } else {
                format!("-{earlier}")
            };
            let path = real
                .dir
                .path()
                .join(format!(".a.tar.ocify-journal.kept{end}"));
            fs::write(path, "earlier").unwrap();
        }
        assert!(!real.rewrite_until(case, 7, 2));
        let before = fs::read(real.path()).unwrap();
        let mut journal = fs::read(real.journal()).unwrap();
        let middle = journal.len() / 2;
        journal[middle] ^= 1;
        fs::write(real.journal(), &journal).unwrap();
        let error = recover(&real.path()).unwrap_err();
        assert_eq!(error.code(), Code::DamagedJournal);
        let kept = match number {
            1 => ".a.tar.ocify-journal.kept".to_owned(),
            _ => format!(".a.tar.ocify-journal.kept-{number}"),
        };
        assert!(error.to_string().contains(&kept), "{error}");
        assert_eq!(fs::read(real.path()).unwrap(), before);
        assert_eq!(fs::read(real.dir.path().join(kept)).unwrap(), journal);
        assert_eq!(real.names().len(), 1 + number);
        assert_eq!(recover(&real.path()).unwrap(), Recovery::Nothing);
    }
}

/// The time that this thread has used, in ticks of 10 ms.
fn processor_time() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let times = fields.split_whitespace().skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// A sparse file of the longest journal is refused at once, whatever is in it.
#[test]
fn a_long_hostile_journal_costs_nothing() {
    let case = &cases()[0];
    let real = Real::new(&case.old);
    for beginning in [
        &b""[..],
        b"ocify undo journal 2\n",
        &Journal::default().encode(),
        b"ocify undo journal 1\n",
        &Journal::default().encode_version_1(),
    ] {
        fs::write(real.journal(), beginning).unwrap();
        let journal = File::options().write(true).open(real.journal()).unwrap();
        journal.set_len(1 << 30).unwrap();
        let before = processor_time();
        match recover(&real.path()) {
            Ok(recovery) => assert_eq!(recovery, Recovery::Removed),
            Err(error) => assert_eq!(error.code(), Code::DamagedJournal, "{error}"),
        }
        assert!(processor_time() - before < 15, "{beginning:?}");
        assert_eq!(fs::read(real.path()).unwrap(), case.old);
        journal.set_len((1 << 30) + 1).unwrap();
        for name in real.names() {
            if name != "a.tar" {
                fs::remove_file(real.dir.path().join(name)).unwrap();
            }
        }
    }
    File::create(real.journal())
        .unwrap()
        .set_len((1 << 30) + 1)
        .unwrap();
    let error = recover(&real.path()).unwrap_err();
    assert_eq!(error.code(), Code::ForeignJournal);
    assert_eq!(error.hint(), Some(&Hint::InspectJournal));
}

/// What another program does to the file.
type Interfere = fn(&Real, &Case);

/// A disk on which another program does something before one step.
struct Interfering<'a, D> {
    disk: D,
    left: usize,
    interfere: Option<Box<dyn FnOnce() + 'a>>,
}

impl<D> Interfering<'_, D> {
    fn step(&mut self) -> &mut D {
        if self.left == 0
            && let Some(interfere) = self.interfere.take()
        {
            // Filesystems keep times only so finely.
            thread::sleep(Duration::from_millis(15));
            interfere();
            thread::sleep(Duration::from_millis(15));
        }
        self.left = self.left.saturating_sub(1);
        &mut self.disk
    }
}

impl<D: Disk> Disk for Interfering<'_, D> {
    forward_reads!();

    fn create_journal(&mut self) -> Result<()> {
        self.step().create_journal()
    }
    fn write_journal(&mut self, bytes: &[u8]) -> Result<()> {
        self.step().write_journal(bytes)
    }
    fn sync_journal(&mut self) -> Result<()> {
        self.step().sync_journal()
    }
    fn name_journal(&mut self) -> Result<()> {
        self.step().name_journal()
    }
    fn remove_journal(&mut self) -> Result<()> {
        self.step().remove_journal()
    }
    fn keep_journal(&mut self) -> Result<PathBuf> {
        self.step().keep_journal()
    }
    fn sync_directory(&mut self) -> Result<()> {
        self.step().sync_directory()
    }
    fn write_at(&mut self, bytes: &[u8], at: u64) -> Result<()> {
        self.step().write_at(bytes, at)
    }
    fn set_len(&mut self, len: u64) -> Result<()> {
        self.step().set_len(len)
    }
    fn sync(&mut self) -> Result<()> {
        self.step().sync()
    }
}

/// Another program interferes right before each step of a rewrite; which of that cannot be seen.
fn interfere(
    case: &Case,
    is_unseen: &dyn Fn(usize) -> bool,
    action: Interfere,
    check: &dyn Fn(&Real, usize),
) {
    let steps = case.steps();
    for left in 0..steps {
        let real = Real::new(&case.old);
        let path = real.path();
        let place = real.place();
        let file = open_writable(&place, &path).unwrap();
        let mut disk = Interfering {
            disk: Files::new(&file, &place, &path).unwrap(),
            left,
            interfere: Some(Box::new(|| action(&real, case))),
        };
        let result = case.rewrite(&mut disk);
        assert!(disk.interfere.is_none(), "it did not come to step {left}");
        assert_eq!(result.is_ok(), is_unseen(left), "step {left}: {result:?}");
        if let Err(error) = result {
            assert_eq!(error.code(), Code::SourceChanged, "step {left}: {error}");
            assert_eq!(error.path(), Some(&*path));
            check(&real, left);
        }
        assert!(!real.journal().exists(), "step {left}");
    }
}

#[test]
fn a_file_that_is_replaced_at_any_step_is_not_changed() {
    let case = &cases()[1];
    let replace: Interfere = |real, _| {
        fs::hard_link(real.path(), real.dir.path().join("old.tar")).unwrap();
        let new = real.dir.path().join("new");
        fs::write(&new, "another file").unwrap();
        fs::rename(new, real.path()).unwrap();
    };
    let removed: Interfere = |real, _| {
        fs::rename(real.path(), real.dir.path().join("old.tar")).unwrap();
    };
    // Once its journal is removed, a rewrite is over.
    let unseen = |step| step >= case.steps() - 2;
    interfere(case, &unseen, replace, &|real, step| {
        assert_eq!(
            fs::read(real.path()).unwrap(),
            b"another file",
            "step {step}"
        );
        let old = fs::read(real.dir.path().join("old.tar")).unwrap();
        assert_eq!(old, case.old, "step {step}");
    });
    interfere(case, &unseen, removed, &|real, step| {
        let old = fs::read(real.dir.path().join("old.tar")).unwrap();
        assert_eq!(old, case.old, "step {step}");
        assert_eq!(real.names(), ["old.tar"], "step {step}");
    });
}

#[test]
fn a_file_that_is_written_at_any_step_is_an_error() {
    let case = &cases()[1];
    let unseen = |step| step >= case.steps() - 2;
    let before_writes = 5;
    // Of the same length, and with the time of the last write set back.
    let rewrite: Interfere = |real, case| {
        let file = File::options().write(true).open(real.path()).unwrap();
        let before = file.metadata().unwrap().modified().unwrap();
        let len = file.metadata().unwrap().len().min(case.old.len() as u64);
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![b'x'; len as usize], 0).unwrap();
        file.set_modified(before).unwrap();
    };
    interfere(case, &unseen, rewrite, &|real, step| {
        let found = fs::read(real.path()).unwrap();
        if step < before_writes {
            assert_eq!(found, vec![b'x'; case.old.len()], "step {step}");
        }
        // What the other program wrote is never overwritten by an undo.
        assert_eq!(found[500], b'x', "step {step}");
        let is_kept = real
            .names()
            .contains(&".a.tar.ocify-journal.kept".to_owned());
        assert_eq!(is_kept, step >= before_writes, "step {step}");
    });
    // Between the last look at the file and a write that replaces or cuts it off, nobody sees it.
    let unseen = |step| (5..=8).contains(&step) || step >= case.steps() - 2;
    let append: Interfere = |real, _| {
        let mut file = File::options().append(true).open(real.path()).unwrap();
        io::Write::write_all(&mut file, b"more").unwrap();
    };
    interfere(case, &unseen, append, &|real, step| {
        let found = fs::read(real.path()).unwrap();
        let expected = if step < before_writes {
            &case.old
        } else {
            &case.new
        };
        assert_eq!(found, [&expected[..], b"more"].concat(), "step {step}");
    });
}

/// What does not concern the bytes of a file does not matter once ocify writes to it.
#[test]
fn a_link_or_other_permissions_are_not_a_change_of_the_bytes() {
    let case = &cases()[1];
    let link: Interfere = |real, _| {
        fs::hard_link(real.path(), real.dir.path().join("link.tar")).unwrap();
    };
    interfere(case, &|step| step >= 5, link, &|real, step| {
        assert_eq!(fs::read(real.path()).unwrap(), case.old, "step {step}");
    });
}

/// A directory with an archive whose path leads to another one later.
struct Exchanged {
    dir: tempfile::TempDir,
}

impl Exchanged {
    fn new(case: &Case) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for name in ["sub", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("a.tar"), &case.old).unwrap();
        }
        Exchanged { dir }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn place(&self) -> HeldPath {
        HeldPath::of(&self.at("sub/a.tar")).unwrap()
    }

    /// Another directory takes the place of the first, by its name or by a link.
    fn exchange(&self, is_link: bool) {
        fs::rename(self.at("sub"), self.at("moved")).unwrap();
        match is_link {
            true => std::os::unix::fs::symlink("other", self.at("sub")).unwrap(),
            false => fs::rename(self.at("other"), self.at("sub")).unwrap(),
        }
    }

    /// Checks that nothing was created or changed in the other directory, and nothing is left in the first.
    fn check(&self, case: &Case, expected: &[u8], what: &str) {
        for (name, bytes) in [("moved", expected), ("sub", &case.old)] {
            let entries = fs::read_dir(self.at(name)).unwrap();
            let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(names, ["a.tar"], "{what}: {name}");
            let found = fs::read(self.at(name).join("a.tar")).unwrap();
            assert!(found == bytes, "{what}: {name}");
        }
    }
}

#[test]
fn a_directory_that_is_exchanged_at_any_step_changes_nothing() {
    for case in &cases() {
        for left in 0..case.steps() {
            let is_link = left % 2 == 0;
            let real = Exchanged::new(case);
            let (place, path) = (real.place(), real.at("sub/a.tar"));
            let file = open_writable(&place, &path).unwrap();
            let mut disk = Interfering {
                disk: Files::new(&file, &place, &path).unwrap(),
                left,
                interfere: Some(Box::new(|| real.exchange(is_link))),
            };
            case.rewrite(&mut disk).unwrap();
            assert!(disk.interfere.is_none(), "it did not come to step {left}");
            drop(disk);
            real.check(case, &case.new, &format!("{}, step {left}", case.name));
        }
    }
}

#[test]
fn recovery_stays_in_a_directory_that_is_exchanged() {
    for case in &cases() {
        for left in 0..=case.steps() {
            let real = Exchanged::new(case);
            let (place, path) = (real.place(), real.at("sub/a.tar"));
            let file = open_writable(&place, &path).unwrap();
            let files = Files::new(&file, &place, &path).unwrap();
            let mut disk = FailingDisk::power_failure(files, left, 2);
            let is_done = case.rewrite(&mut disk).is_ok();
            drop(disk);
            drop(file);
            let has_journal = real.at("sub/.a.tar.ocify-journal").exists();
            real.exchange(left % 2 == 0);
            // What is there now was made to be used instead.
            let hostile = real.at("sub/.a.tar.ocify-journal");
            fs::write(&hostile, Journal::default().encode()).unwrap();
            let held = InputPath::Held(place);
            assert_eq!(is_pending(&held, false).unwrap(), has_journal);
            let (found, _) = recover_locked(&held).unwrap();
            assert_eq!(found == Recovery::Restored, has_journal);
            fs::remove_file(hostile).unwrap();
            let expected = match is_done || left + 1 == case.steps() {
                true => &case.new,
                false => &case.old,
            };
            real.check(case, expected, &format!("{}, step {left}", case.name));
        }
    }
}
