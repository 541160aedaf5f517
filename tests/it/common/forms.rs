//! An archive in every tar form.

use super::archive::{Entry, open_tar, tar};

/// The same entries under other headers and names, in other orders and with other ends. `root` is the
/// file that is also put first and in the middle.
pub(crate) fn every_form(entries: &[Entry], root: &str) -> Vec<(&'static str, Vec<u8>)> {
    let text = |entry: &Entry| String::from_utf8(entry.name.clone()).unwrap();
    let renamed = |change: &dyn Fn(&str) -> String| -> Vec<Entry> {
        let renamed = entries.iter().map(|entry| Entry {
            name: change(&text(entry)).into_bytes(),
            ..entry.clone()
        });
        renamed.collect()
    };
    let mut wrapped = vec![Entry::dir("app/")];
    wrapped.extend(renamed(&|name| format!("app/{name}")));
    let long = |head: &dyn Fn(&Entry) -> Entry| -> Vec<Entry> {
        let cut = |entry: &Entry| Entry {
            name: b"cut".to_vec(),
            ..entry.clone()
        };
        entries
            .iter()
            .flat_map(|entry| [head(entry), cut(entry)])
            .collect()
    };
    let mut global = Entry::pax(&[("comment", "0123456789")]);
    global.flag = b'g';
    let mut others = entries.to_vec();
    let position = others.iter().position(|entry| text(entry) == root).unwrap();
    let root = others.remove(position);
    let (mut first, mut middle, mut last) = (others.clone(), others.clone(), others);
    first.insert(0, root.clone());
    middle.insert(middle.len() / 2, root.clone());
    last.push(root);
    let mut times = entries.to_vec();
    times
        .iter_mut()
        .for_each(|entry| (entry.mtime, entry.mode) = (1_700_000_000, 0o755));
    let without_dirs: Vec<Entry> = entries
        .iter()
        .filter(|entry| entry.flag != b'5')
        .cloned()
        .collect();
    #[rustfmt::skip]
    let forms = vec![
        ("dots", tar(&renamed(&|name| format!("./{name}")))),
        ("absolute", tar(&renamed(&|name| format!("/{name}")))),
        ("doubled", tar(&renamed(&|name| name.replace('/', "//").replace("//layer", "/.//layer")))),
        ("wrapped", tar(&wrapped)),
        ("gnu names", tar(&long(&|entry| Entry::gnu_name(&entry.name)))),
        ("pax names", tar(&long(&|entry| Entry::pax(&[("path", &text(entry))])))),
        ("global header", tar(&[vec![global], entries.to_vec()].concat())),
        ("v7", v7(tar(entries))),
        ("no end", open_tar(entries)),
        ("one block at the end", [open_tar(entries), vec![0; 512]].concat()),
        ("a record of zeros", [tar(entries), vec![0; 10240]].concat()),
        ("first", tar(&first)),
        ("middle", tar(&middle)),
        ("last", tar(&last)),
        ("times", tar(&times)),
        ("no directories", tar(&without_dirs)),
    ];
    forms
}

/// The same archive with V7 headers, which have no magic number.
fn v7(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while bytes[at] != 0 {
        let header = &mut bytes[at..at + 512];
        header[257..].fill(0);
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        let len =
            usize::from_str_radix(std::str::from_utf8(&header[124..135]).unwrap(), 8).unwrap();
        at += 512 + len.next_multiple_of(512);
    }
    bytes
}
