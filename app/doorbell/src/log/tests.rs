use super::line::Utc;
use super::*;
use std::time::{Duration, UNIX_EPOCH};

fn line(write: impl FnOnce()) -> Vec<String> {
    /// Keeps lines instead of printing them.
    struct Keeper(std::sync::Mutex<Vec<String>>);
    struct Shared(Arc<Keeper>);
    impl Subscriber for Shared {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn event(&self, event: &Event<'_>) {
            let mut line = Line::new("test");
            event.record(&mut line);
            self.0.0.lock().unwrap().push(line.text(None, of_tracing(event.metadata().level())));
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }
    let keeper = Arc::new(Keeper(Default::default()));
    tracing::subscriber::with_default(Shared(keeper.clone()), write);
    std::mem::take(&mut *keeper.0.lock().unwrap())
}

#[test]
fn a_line_has_level_part_message_and_fields() {
    let lines = line(|| tracing::info!(host = "nqn.a", n = 3, why = %"two words", "came"));
    assert_eq!(lines, ["NOTICE  test: came host=nqn.a n=3 why=\"two words\"\n"]);
}

#[test]
fn what_comes_from_outside_stays_on_its_line() {
    let lines = line(|| tracing::warn!(host = "a\nERROR forged\u{1b}[2J\u{202e}", "bad {}", "x\r\ny"));
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].matches('\n').count(), 1);
    assert!(!lines[0].contains(['\u{1b}', '\r', '\u{202e}']), "{lines:?}");
    let long = line(|| tracing::warn!(host = "é".repeat(5000), "x"));
    assert!(long[0].chars().count() < 1100 && long[0].ends_with("...\n"));
}

#[test]
fn times_are_those_of_the_calendar() {
    let show = |s: u64| Utc(UNIX_EPOCH + Duration::from_secs(s)).to_string();
    // As `date -u -d @N` says.
    assert_eq!(show(0), "1970-01-01T00:00:00.000Z");
    assert_eq!(show(951_782_399), "2000-02-28T23:59:59.000Z");
    assert_eq!(show(951_782_400), "2000-02-29T00:00:00.000Z");
    assert_eq!(show(1_709_251_199), "2024-02-29T23:59:59.000Z");
    assert_eq!(show(1_795_343_945), "2026-11-22T10:39:05.000Z");
    assert_eq!(show(4_107_542_400), "2100-03-01T00:00:00.000Z");
}

#[test]
fn lines_are_named_after_the_narrowest_flag() {
    assert_eq!(name_of("doorbell_nvmf::tcp::wire"), Some("nvmf_tcp"));
    assert_eq!(name_of("doorbell_nvmf::controller"), Some("nvmf"));
    assert_eq!(name_of("doorbell::serve"), Some("app"));
    assert_eq!(name_of("doorbellx"), None);
    assert_eq!(name_of("doorbell_backends::aio"), Some("aio"));
    assert_eq!(name_of("doorbell_backends::nvme::discovery"), Some("nvme"));
    assert_eq!(name_of("doorbell_nvme::controller"), Some("nvme"));
    assert_eq!(name_of("doorbell_pci::vfio"), Some("pci"));
}

/// Does Rust code beneath log?
fn logs(folder: &std::path::Path) -> bool {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.extension() {
        _ if path.is_dir() => logs(&path),
        Some(extension) if extension == "rs" => std::fs::read_to_string(&path).unwrap().contains("tracing::"),
        _ => false,
    })
}

/// A line without a flag is not logged at all.
#[test]
fn whatever_logs_has_a_flag() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = manifest.split_once("members = [").unwrap().1.split_once(']').unwrap().0;
    let mut found = 0;
    for folder in members.split('"').skip(1).step_by(2).map(|member| root.join(member)).filter(|folder| logs(&folder.join("src"))) {
        let own = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let name = own.split_once("name = \"").unwrap().1.split_once('"').unwrap().0.replace('-', "_");
        assert!(name_of(&name).is_some(), "{name} logs, and no flag is about it");
        found += 1;
    }
    assert!(found > 3, "only {found} crates log");
}

#[test]
fn levels_and_flags_decide_what_is_printed() {
    let log = Log::install();
    let enabled = |target: &'static str| {
        let sink = Sink(log.0.clone());
        move |level: u8| {
            let flagged = FLAGS.iter().any(|flag| flag.on.load(Relaxed) && flag.targets.iter().any(|of| within(target, of)));
            level <= sink.0.print_level.load(Relaxed) || flagged
        }
    };
    assert!(enabled("doorbell_sys")(rank(LogLevel::Notice)) && !enabled("doorbell_sys")(rank(LogLevel::Info)));
    assert!(log.set_flag("sys", true));
    assert!(enabled("doorbell_sys::file")(rank(LogLevel::Debug)));
    assert!(!enabled("doorbell_system")(rank(LogLevel::Debug)));
    assert!(log.set_flag("sys", false));
    log.set_print_level(LogLevel::Error);
    assert!(!enabled("doorbell_sys")(rank(LogLevel::Warning)));
    assert!(log.turn_on("nope").unwrap_err().to_string().contains("nvmf_tcp"));
}

#[test]
fn the_system_log_gets_rfc_3164_lines() {
    let path = std::env::temp_dir().join(format!("doorbell-syslog-{}", std::process::id()));
    let daemon = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let syslog = Syslog::at(path.to_str().unwrap()).unwrap();
    syslog.send(&Syslog::line(LogLevel::Notice, "hello\n"));
    let mut bytes = [0; 200];
    let n = daemon.recv(&mut bytes).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(std::str::from_utf8(&bytes[..n]).unwrap(), format!("<189>doorbell[{}]: hello", std::process::id()));
}
