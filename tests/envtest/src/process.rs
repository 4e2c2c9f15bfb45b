//! Programs that a test starts. Each runs under a shell that holds the other
//! end of a pipe: when the test lets go of it, or dies in whatever way, the
//! program is killed and what it left on disk goes.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The shell's part. `$1` is a folder to remove afterwards, or empty; the rest
/// is the program.
const GUARD: &str = r#"
exec 3<&0
remove=$1
shift
"$@" </dev/null 3<&- &
program=$!
{ read -r _ <&3; kill -KILL $program; } 2>/dev/null >/dev/null &
exec 3<&-
wait $program
status=$?
[ -z "$remove" ] || rm -rf "$remove"
exit $status
"#;

/// A running program; it is killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    shell: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program whose output goes to `<folder>/<name>.log`. `remove`
    /// is a folder that goes when the program has ended.
    ///
    /// # Errors
    /// What cannot be started.
    pub fn start(
        name: &'static str,
        command: &Command,
        folder: &Path,
        remove: Option<&Path>,
    ) -> Result<Self, String> {
        let log = folder.join(format!("{name}.log"));
        let said = |e: std::io::Error| format!("{name}: {e}");
        let file = File::options().create(true).append(true).open(&log).map_err(said)?;
        let mut shell = Command::new("sh");
        shell
            .args(["-c", GUARD, name])
            .arg(remove.unwrap_or(Path::new("")))
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(file.try_clone().map_err(said)?)
            .stderr(file);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        let shell = shell.spawn().map_err(said)?;
        Ok(Self { name, shell, log })
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    /// The end of what it has said, for messages.
    pub fn last_words(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(&self.log) {
            let _ = file.read_to_string(&mut text);
        }
        let lines: Vec<&str> = text.lines().rev().take(15).collect();
        let lines: Vec<&str> = lines.into_iter().rev().collect();
        format!("{} said last:\n{}", self.name, lines.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard reads the end of its pipe and kills the program.
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
