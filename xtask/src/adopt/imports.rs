//! What the locustfile imports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::sys::files;

/// The modules of Python's standard library (3.9 to 3.14), and those of Locust and the packages that it depends on.
const PROVIDED: &str = "\
abc aifc argparse array ast asynchat asyncio asyncore atexit audioop base64 bdb binascii bisect builtins bz2 \
cProfile calendar cgi cgitb chunk cmath cmd code codecs codeop collections colorsys compileall concurrent \
configparser contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses datetime dbm decimal \
difflib dis distutils doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch \
fractions ftplib functools gc genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html \
http imaplib imghdr imp importlib inspect io ipaddress itertools json keyword linecache locale logging lzma \
mailbox mailcap marshal math mimetypes mmap modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt \
ntpath nturl2path numbers opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes pkgutil \
platform plistlib poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc pydoc_data \
pyexpat queue quopri random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve \
shlex shutil signal site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants \
sre_parse ssl stat statistics string stringprep struct subprocess sunau symtable sys sysconfig syslog tabnanny \
tarfile telnetlib tempfile termios textwrap threading time timeit tkinter token tokenize tomllib trace traceback \
tracemalloc tty turtle types typing unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser \
winreg winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo __future__ \
locust gevent geventhttpclient greenlet requests urllib3 certifi flask werkzeug jinja2 zmq msgpack psutil \
configargparse";

/// Whether these locustfiles, relative to `folder`, and the files beside them that they import, need no more than
/// [`PROVIDED`].
pub(crate) fn only_locust(folder: &Path, locustfiles: &[String]) -> bool {
    let mut waiting: Vec<PathBuf> = locustfiles.iter().map(|name| folder.join(name)).collect();
    let mut seen = BTreeSet::new();
    while let Some(file) = waiting.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        let Ok(bytes) = files::read(&file) else { return false };
        let beside = files::folder_of(&file).to_owned();
        for module in imported(&String::from_utf8_lossy(&bytes)) {
            if PROVIDED.split_whitespace().any(|known| known == module.top) {
                continue;
            }
            let found = local_file(&[&beside, folder], &module);
            match found {
                Some(file) => waiting.push(file),
                None if module.is_relative => {}
                None => return false,
            }
        }
    }
    true
}

/// A module of an import, by the first part of its name.
#[derive(Debug, PartialEq)]
struct Module {
    top: String,
    is_relative: bool,
}

fn imported(text: &str) -> Vec<Module> {
    let module = |name: &str, is_relative| {
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        Module { top: name[..end].to_owned(), is_relative }
    };
    let mut modules = Vec::new();
    for line in text.lines().map(str::trim_start) {
        if let Some(rest) = line.strip_prefix("import ") {
            modules
                .extend(rest.split('#').next().unwrap_or_default().split(',').map(|name| module(name.trim(), false)));
        } else if let Some(rest) = line.strip_prefix("from ") {
            let name = rest.trim_start();
            modules.push(module(name.trim_start_matches('.'), name.starts_with('.')));
        }
    }
    modules.retain(|module| !module.top.is_empty());
    modules
}

fn local_file(folders: &[&Path], module: &Module) -> Option<PathBuf> {
    let name = &module.top;
    let files = folders
        .iter()
        .flat_map(|folder| [format!("{name}.py"), format!("{name}/__init__.py")].map(|file| folder.join(file)));
    files.into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_read_at_any_indentation() {
        let text = "import os, yaml as y  # faker\nimport a.b\n\nif x:\n    from faker import Faker\nfrom .own import c\nfrom . import d\n# import no\nimportant = 1\n";
        let tops: Vec<String> = imported(text).into_iter().map(|module| module.top).collect();
        assert_eq!(tops, ["os", "yaml", "a", "faker", "own"]);
    }
}
