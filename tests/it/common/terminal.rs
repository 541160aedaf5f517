//! Pseudo-terminals.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Opens a pseudo-terminal of this size: the controlling end, and the end for a program.
pub(crate) fn terminal(rows: u16, columns: u16) -> (OwnedFd, File) {
    let control = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&control).unwrap();
    unlockpt(&control).unwrap();
    let name = ptsname(&control, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let end = File::from(rustix::fs::open(&name, flags, Mode::empty()).unwrap());
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&end, size).unwrap();
    (control, end)
}

/// Reads until no program has the terminal open.
pub(crate) fn read_all(control: OwnedFd) -> Vec<u8> {
    let mut control = File::from(control);
    let mut all = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match control.read(&mut piece) {
            Ok(count @ 1..) => all.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Once the last program has closed the terminal, reading fails with EIO.
            Ok(0) => return all,
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()));
                return all;
            }
        }
    }
}

/// The final contents of a terminal with enough rows. Supports the escape sequences for moving the cursor up and down, for clearing and for
/// colors.
pub(crate) fn screen(bytes: &[u8], columns: usize) -> Vec<String> {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let mut rows: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0);
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(chars.next(), Some('['));
                let mut number = String::new();
                let command = loop {
                    match chars.next().unwrap() {
                        digit if !digit.is_ascii_alphabetic() => number.push(digit),
                        command => break command,
                    }
                };
                let count = || number.parse().unwrap_or(1);
                match command {
                    'A' => row = row.saturating_sub(count()),
                    'B' => row += count(),
                    'K' if number.is_empty() => rows[row].truncate(column),
                    'K' => rows[row].clear(),
                    'J' => {
                        rows[row].truncate(column);
                        rows.truncate(row + 1);
                    }
                    'm' => {}
                    other => panic!("unknown sequence {number}{other}"),
                }
            }
            shown => {
                if column == columns {
                    (row, column) = (row + 1, 0);
                }
                rows.resize(rows.len().max(row + 1), Vec::new());
                let line = &mut rows[row];
                line.resize(line.len().max(column + 1), ' ');
                line[column] = shown;
                column += 1;
            }
        }
        rows.resize(rows.len().max(row + 1), Vec::new());
    }
    rows.iter()
        .map(|row| row.iter().collect::<String>().trim_end().to_owned())
        .collect()
}
