use super::RpcError;

#[test]
fn errno_speaks_as_glibc_does() {
    let error = RpcError::errno(17);
    assert_eq!((error.code, &*error.message), (-17, "File exists"));
    // Handlers hold errno values in either sign.
    assert_eq!(RpcError::errno(-19), RpcError::no_device());
    assert_eq!(RpcError::errno(9999).message, "Unknown error 9999");
    assert_eq!(RpcError::errno(i32::MIN).code, -i64::from(i32::MAX));
}

#[test]
fn operating_system_errors_keep_their_number() {
    let missing = std::io::Error::from_raw_os_error(2);
    assert_eq!(RpcError::from(missing), RpcError::not_found());
    let own = RpcError::from(std::io::Error::other("torn"));
    assert_eq!((own.code, own.data.as_deref()), (-5, Some("torn")));
}

#[test]
fn details_go_beside_the_message_and_are_left_out_when_absent() {
    let bare = serde_json::to_value(RpcError::busy()).unwrap();
    assert_eq!(bare, serde_json::json!({"code": -16, "message": "Device or resource busy"}));
    let told = serde_json::to_value(RpcError::busy().because("held by Pt0")).unwrap();
    assert_eq!(told["data"], "held by Pt0");
}
