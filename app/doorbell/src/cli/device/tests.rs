use super::*;

fn bare(path: &str) -> DeviceSpec {
    DeviceSpec { path: path.into(), size: None, read_only: false, engine: None, block_size: None, name: None, force: false }
}

#[test]
fn every_option_is_read() {
    assert_eq!("disk.img".parse(), Ok(bare("disk.img")));
    let all = DeviceSpec {
        size: Some(1 << 30),
        read_only: false,
        engine: Some(Engine::Uring),
        block_size: Some(4096),
        name: Some("data".to_owned()),
        force: true,
        ..bare("/dev/vdb")
    };
    assert_eq!("/dev/vdb,size=1G,engine=uring,block-size=4k,name=data,force".parse(), Ok(all));
    assert_eq!("a,ro".parse(), Ok(DeviceSpec { read_only: true, ..bare("a") }));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    for (text, says) in [
        ("", "path"),
        (",ro", "path"),
        ("a,size=big", "`big`"),
        ("a,engine=sync", "neither"),
        ("a,block-size=1000", "power of two"),
        ("a,block-size=1M", "power of two"),
        ("a,rw", "`rw`"),
        ("a,ro=maybe", "`ro=maybe`"),
        ("a,name=", "`name=`"),
        ("a,ro,engine=uring", "read-only"),
        ("a,ro,size=1G", "neither made nor grown"),
    ] {
        let said = text.parse::<DeviceSpec>().unwrap_err().to_string();
        assert!(said.contains(says), "{text}: {said}");
    }
}
