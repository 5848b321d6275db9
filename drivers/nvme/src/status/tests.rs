use super::*;

#[test]
fn each_code_has_its_end() {
    assert_eq!(ended(Status::SUCCESS, Op::Read), Ended::Ok);
    assert_eq!(ended(Status::CAPACITY_EXCEEDED.dnr(), Op::Write), Ended::NoSpace);
    assert_eq!(ended(Status::COMPARE_FAILURE, Op::Compare), Ended::Miscompare);
    assert_eq!(ended(Status::UNRECOVERED_READ.dnr(), Op::Read), Ended::ReadError);
    assert_eq!(ended(Status::WRITE_FAULT, Op::Write), Ended::WriteError);
    assert_eq!(ended(Status::new(StatusCodeType::VENDOR, 3), Op::Flush), Ended::Internal);
    assert_eq!(ended(Status::from_bits(0x7ff), Op::Read), Ended::ReadError);
}

#[test]
fn what_the_device_says_not_to_repeat_is_not_and_media_errors_neither() {
    assert!(may_repeat(Status::NAMESPACE_NOT_READY) && !may_repeat(Status::NAMESPACE_NOT_READY.dnr()));
    assert!(!may_repeat(Status::UNRECOVERED_READ) && !may_repeat(Status::SUCCESS) && !may_repeat(Status::LBA_OUT_OF_RANGE));
    assert!(may_repeat(Status::INTERNAL_PATH_ERROR));
}
