//! Outputs that exist, appear meanwhile, or cannot be written.

use super::*;

#[test]
fn an_empty_directory_is_replaced_and_keeps_its_mode() {
    let job = Job::new(&[3]);
    let output = job.path("out/");
    fs::create_dir(&output).unwrap();
    fs::set_permissions(&output, fs::Permissions::from_mode(0o700)).unwrap();
    job.apply(&output, jobs(1)).unwrap();
    assert!(output.join("index.json").exists());
    let mode = fs::metadata(&output).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(job.names(), ["in.tar", "out"]);
}

#[test]
fn force_replaces_a_file_whole_or_not_at_all() {
    let mut job = Job::new(&[1000]);
    let output = job.path("out.tar");
    fs::write(&output, b"old").unwrap();
    fs::set_permissions(&output, fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(
        job.apply(&output, jobs(1)).unwrap_err().code(),
        Code::OutputExists
    );

    let good = job.plan.clone();
    for entry in job.blobs() {
        entry.len -= 1;
    }
    assert_eq!(
        job.replace(&output, jobs(1)).unwrap_err().code(),
        Code::DigestMismatch
    );
    assert_eq!(fs::read(&output).unwrap(), b"old");

    job.plan = good;
    job.replace(&output, jobs(1)).unwrap();
    assert!(fs::metadata(&output).unwrap().len() > 1000);
    let mode = fs::metadata(&output).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(job.names(), ["in.tar", "out.tar"]);
}

#[test]
fn an_output_that_appears_meanwhile_is_kept() {
    for (output, found) in [
        ("out.tar", Code::OutputExists),
        ("out/", Code::OutputNotEmpty),
    ] {
        let job = Job::new(&[1]);
        let source = job.source();
        let target = Target::prepare(at(&job.path(output)), &source).unwrap();
        if found == Code::OutputExists {
            fs::write(job.path("out.tar"), b"mine").unwrap();
        } else {
            fs::create_dir(job.path("out")).unwrap();
            fs::write(job.path("out/mine"), b"mine").unwrap();
        }
        let before = job.names();
        let error = apply(&job.plan, &source, target, &jobs(1), &Hidden).unwrap_err();
        assert_eq!(error.code(), found);
        assert_eq!(job.names(), before);
    }
}

#[test]
fn a_parent_that_takes_no_file_is_named() {
    let job = Job::new(&[1]);
    for output in ["/proc/out.tar", "/proc/out/"] {
        let error = job.apply(Path::new(output), jobs(1)).unwrap_err();
        assert_eq!(error.code(), Code::Io);
        assert!(
            error.to_string().starts_with("cannot create /proc/out"),
            "{error}"
        );
    }
    let error = job.apply(Path::new("/proc/"), jobs(1)).unwrap_err();
    assert_eq!(error.code(), Code::OutputNotEmpty);
}

#[test]
fn an_output_that_does_not_fit_is_refused_first() {
    for output in ["out.tar", "out/"] {
        for len in [1 << 60, u64::MAX] {
            let mut job = Job::new(&[1]);
            job.blobs().for_each(|entry| entry.len = len);
            let error = job.apply(&job.path(output), jobs(1)).unwrap_err();
            assert_eq!(error.code(), Code::NoSpace);
            assert_eq!(job.names(), ["in.tar"]);
        }
    }
}
