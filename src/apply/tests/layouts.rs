//! Blobs that come from a layout directory.

use super::*;

#[test]
fn a_blob_of_a_layout_that_changed_is_noticed() {
    let mut job = Job::new(&[1000]);
    let input = job.path("layout");
    let name = job.blobs().next().unwrap().name.clone();
    fs::create_dir_all(input.join("blobs/sha256")).unwrap();
    for entry in job.blobs() {
        if let Body::Blob { data, .. } = &mut entry.body {
            *data = DataLocation::File(name.clone());
        }
    }
    let whole = fs::read(job.path("in.tar")).unwrap();
    let mut other = whole.clone();
    other[500] ^= 1;
    let cases = [
        ("the same", whole.clone(), None),
        ("shorter", whole[..999].to_vec(), Some(Code::SizeMismatch)),
        (
            "longer",
            [&whole[..], b"x"].concat(),
            Some(Code::SizeMismatch),
        ),
        ("other bytes", other, Some(Code::DigestMismatch)),
    ];
    let source = Source::open(&input).unwrap();
    for (case, bytes, expected) in cases {
        fs::write(input.join(&name), bytes).unwrap();
        let output = job.path(&format!("{case}.tar"));
        let target = Target::prepare(at(&output), &source).unwrap();
        let found = apply(&job.plan, &source, target, &jobs(1), &Hidden);
        assert_eq!(found.err().map(|error| error.code()), expected, "{case}");
        assert_eq!(output.exists(), expected.is_none(), "{case}");
    }
}

/// Turns the input into a layout, and makes the plan take its blobs from there.
fn as_layout(job: &mut Job) -> PathBuf {
    let input = job.path("layout");
    fs::create_dir_all(input.join("blobs/sha256")).unwrap();
    let bytes = fs::read(job.path("in.tar")).unwrap();
    for entry in job.blobs() {
        if let Body::Blob { data, .. } = &mut entry.body
            && let DataLocation::Offset(at) = *data
        {
            let blob = &bytes[at as usize..][..entry.len as usize];
            fs::write(input.join(&entry.name), blob).unwrap();
            *data = DataLocation::File(entry.name.clone());
        }
    }
    input
}

#[test]
fn a_layout_shares_its_files_only_when_asked() {
    let mut job = Job::new(&LENS);
    let input = as_layout(&mut job);
    let source = Source::open(&input).unwrap();
    for (name, link, links) in [
        ("auto", Link::Auto, 1),
        ("never", Link::Never, 1),
        ("hard", Link::Hard, 2),
    ] {
        let recorder = Recorder::default();
        let options = ApplyOptions { link, ..jobs(2) };
        let output = job.path(&format!("{name}/"));
        let target = Target::prepare(at(&output), &source).unwrap();
        apply(&job.plan, &source, target, &options, &recorder).unwrap();
        let total: u64 = LENS.iter().map(|&len| len as u64).sum();
        assert_eq!(recorder.0.into_inner().unwrap(), (vec![total], total, 1));
        let names: Vec<String> = job.blobs().map(|entry| entry.name.clone()).collect();
        for blob in names {
            let (old, new) = (input.join(&blob), output.join(&blob));
            assert!(fs::read(&old).unwrap() == fs::read(&new).unwrap());
            let found = fs::metadata(&new).unwrap();
            assert_eq!(found.nlink(), links, "{name}");
            let is_same = found.ino() == fs::metadata(&old).unwrap().ino();
            assert_eq!(is_same, link == Link::Hard, "{name}");
        }
    }
}

#[test]
fn a_linked_file_is_verified_and_the_input_stays() {
    let mut job = Job::new(&[1000, 3 << 20]);
    let input = as_layout(&mut job);
    let names: Vec<String> = job.blobs().map(|entry| entry.name.clone()).collect();
    for name in names {
        let path = input.join(&name);
        let whole = fs::read(&path).unwrap();
        let mut other = whole.clone();
        other[500] ^= 1;
        fs::write(&path, &other).unwrap();
        let source = Source::open(&input).unwrap();
        for link in [Link::Auto, Link::Hard, Link::Never] {
            let target = Target::prepare(at(&job.path("out/")), &source).unwrap();
            let options = ApplyOptions { link, ..jobs(2) };
            let error = apply(&job.plan, &source, target, &options, &Hidden).unwrap_err();
            assert_eq!(error.code(), Code::DigestMismatch, "{link:?}");
            assert_eq!(job.names(), ["in.tar", "layout"]);
            assert!(fs::read(&path).unwrap() == other);
        }
        fs::write(&path, whole).unwrap();
    }
}
