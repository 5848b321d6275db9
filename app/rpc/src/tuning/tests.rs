use super::{SUBSYSTEMS, add_tuning};
use doorbell_control::{Control, Methods, NoParams, Options, Part, When, conforms};
use std::rc::Rc;

/// An nvmf part with a configuration method of its own.
struct Nvmf;

impl Part for Nvmf {
    fn name(&self) -> &'static str {
        "nvmf"
    }
    fn methods(self: Rc<Self>, methods: &mut Methods) {
        methods.add("nvmf_set_crdt", When::Startup, "", |_: NoParams| async { Ok(true) });
    }
}

#[test]
fn it_fills_gaps_only() {
    let control = Control::new(Options::default());
    control.add_part(Rc::new(Nvmf)).unwrap();
    add_tuning(&control).unwrap();
    assert!(!control.method("nvmf_set_crdt").unwrap().is_kept());
    assert!(control.method("nvmf_set_max_subsystems").unwrap().is_kept());
    assert_eq!(control.parts().len(), SUBSYSTEMS.len() + 1);
    // Again, and nothing is there twice.
    add_tuning(&control).unwrap();
    assert_eq!(control.parts().len(), SUBSYSTEMS.len() + 1);
    let methods = control.methods();
    let kept = methods.iter().filter(|method| method.is_kept()).map(Rc::as_ref);
    assert_eq!(conforms(kept), []);
}
