use super::*;
use crate::{Subject, Suite};

#[test]
fn zones_of_memory_pass() {
    let zones = Zones { blocks: 64, max_open: 3, max_active: 5, max_append_blocks: 8 };
    for (count, capacity) in [(9, 50), (16, 64)] {
        let suite = Suite::new("zones", move |_| async move { Ok(Subject::new(Arc::new(ZonedRam::new(9, zones, count, capacity)))) });
        let report = suite.run_simulated();
        report.assert_passed();
        let zoned = report.passed().iter().filter(|name| name.starts_with("zone_")).count();
        assert_eq!(zoned, 5, "{report}");
    }
}
