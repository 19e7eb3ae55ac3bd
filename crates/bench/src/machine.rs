//! Which machine this is, and what its processes take: from `/proc`, where there is one.

use std::path::Path;

use serde::Serialize;

/// Where figures are from.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: Option<u64>,
    kernel: String,
    file_system: String,
    /// How many processes wanted to run in the last minute before the run.
    load: Option<f64>,
}

impl Machine {
    /// This one, with the disk of this folder.
    pub(crate) fn here(folder: &Path) -> Self {
        Self {
            processor: processor(&read("/proc/cpuinfo")),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_gib(&read("/proc/meminfo")),
            kernel: kernel(),
            file_system: file_system(&read("/proc/self/mounts"), folder),
            load: read("/proc/loadavg")
                .split(' ')
                .next()
                .and_then(|load| load.parse().ok()),
        }
    }

    /// In one sentence.
    pub(crate) fn sentence(&self) -> String {
        let memory = self
            .memory_gib
            .map_or(String::new(), |gib| format!(", {gib} GiB of memory"));
        let Self {
            processor,
            cores,
            kernel,
            file_system,
            ..
        } = self;
        format!("{processor}, {cores} cores{memory}, {kernel}, {file_system}")
    }

    /// A warning, if others used the machine.
    pub(crate) fn is_busy(&self) -> Option<String> {
        let load = self.load.filter(|load| *load > 0.5)?;
        Some(format!(
            "The machine was busy before the run (load {load:.1}): rates are lower than it can do."
        ))
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

fn processor(cpuinfo: &str) -> String {
    let field = |name: &str| {
        let mut pairs = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        pairs
            .find(|(key, _)| key.trim() == name)
            .map(|(_, value)| value.trim())
    };
    let model = field("model name").unwrap_or(std::env::consts::ARCH);
    let flags = field("flags").unwrap_or_default();
    let hashes = flags.split(' ').any(|flag| flag == "sha_ni");
    if hashes {
        format!("{model} with SHA instructions")
    } else {
        model.to_owned()
    }
}

fn memory_gib(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    // What the kernel keeps for itself is not missing.
    Some(kib.div_ceil(1 << 20))
}

fn kernel() -> String {
    let release = read("/proc/sys/kernel/osrelease");
    let system = std::env::consts::OS;
    if release.is_empty() {
        system.to_owned()
    } else {
        format!("Linux {}", release.trim())
    }
}

/// Of the mount that is nearest above the folder.
fn file_system(mounts: &str, folder: &Path) -> String {
    let rows = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder
            .starts_with(place)
            .then_some((place.len(), device, kind))
    });
    let nearest = rows.max_by_key(|(len, ..)| *len);
    nearest.map_or_else(
        || "a file system of unknown kind".to_owned(),
        |(_, device, kind)| format!("{kind} on {device}"),
    )
}

/// Resident memory of these processes, in MB.
pub(crate) fn resident(processes: &[u32]) -> f64 {
    let of = |id: &u32| {
        let status = read(&format!("/proc/{id}/status"));
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
        kib.unwrap_or(0.0) * 1024.0 / 1e6
    };
    processes.iter().map(of).sum()
}

/// Processor time of these processes so far.
pub(crate) fn cpu_seconds(processes: &[u32]) -> f64 {
    /// What Linux counts in, whatever the machine.
    const TICKS_PER_SECOND: f64 = 100.0;
    let of = |id: &u32| {
        let stat = read(&format!("/proc/{id}/stat"));
        // What is in brackets is a name, with anything in it.
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let fields = behind_name.split_whitespace().skip(11).take(2);
        fields
            .filter_map(|field| field.parse::<f64>().ok())
            .sum::<f64>()
    };
    processes.iter().map(of).sum::<f64>() / TICKS_PER_SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_mount_is_the_folders() {
        let mounts = "/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tmpfoo xfs rw 0 0\n";
        for (folder, expected) in [
            ("/srv/data", "ext4 on /dev/vda"),
            ("/tmp/x", "tmpfs on tmpfs"),
            ("/tmpfoo", "xfs on /dev/b"),
        ] {
            assert_eq!(file_system(mounts, Path::new(folder)), expected);
        }
        assert_eq!(
            file_system("", Path::new("/")),
            "a file system of unknown kind"
        );
    }

    #[test]
    fn processors_and_memory_are_those_of_the_system() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu sha_ni avx\n";
        assert_eq!(processor(cpuinfo), "Some CPU with SHA instructions");
        assert_eq!(processor("model name : Other"), "Other");
        assert_eq!(memory_gib("MemTotal:       24608896 kB\n"), Some(24));
        assert_eq!(memory_gib(""), None);
    }
}
