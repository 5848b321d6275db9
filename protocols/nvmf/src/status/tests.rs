//! The whole table.

use super::*;

#[test]
fn do_not_retry_is_set_where_a_retry_cannot_help() {
    for status in Block::ALL {
        let told = nvme(status);
        assert_eq!(told.is_ok(), status.is_ok(), "{status}");
        // A device that has gone may come back under the same namespace.
        let may_retry = status.may_retry() || status.is_ok() || status == Block::Gone;
        assert_eq!(told.is_dnr(), !may_retry, "{status}");
    }
}
