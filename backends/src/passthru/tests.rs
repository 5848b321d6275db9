use super::*;
use crate::malloc::{Malloc, MallocOptions};
use crate::model::{exercise, on_reactors, refusals};
use crate::null::{Null, NullOptions};
use doorbell_block::ConsumerId;
use doorbell_mem::Regions;

fn stack(base: Arc<dyn BlockDevice>, layers: usize) -> Arc<dyn BlockDevice> {
    (0..layers).fold(base, |below, _| Arc::new(Passthru::new(below)))
}

#[test]
fn three_layers_change_nothing() {
    on_reactors(1, |local| async move {
        let malloc = Malloc::new(&Regions::new(), &MallocOptions::new(9, 640)).unwrap();
        let top = stack(Arc::new(malloc), 3);
        assert_eq!(top.info().frames, 3);
        exercise(&local, top.clone(), 8, 100, 3).await;
        refusals(&local, top).await;
    });
}

#[test]
fn a_stack_as_deep_as_a_request_has_words_opens_and_a_deeper_one_does_not() {
    let null = || Arc::new(Null::new(&NullOptions::new(9, 10)));
    let mut cx = Cx::for_test(1, 512, 1);
    let who = cx.token(ConsumerId(0));
    assert!(stack(null(), FRAMES).open(&mut cx, who, 1).is_ok());
    let refused = stack(null(), FRAMES + 1).open(&mut cx, who, 1).err();
    assert_eq!(refused, Some(OpenError::TooDeep { needed: FRAMES as u8 + 1 }));
}
